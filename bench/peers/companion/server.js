// Uppy's Companion as its guide puts it into an Express app: one process, sessions in memory. node server.js PORT ENDPOINT
import * as companion from '@uppy/companion'
import express from 'express'
import session from 'express-session'

const [port, endpoint] = process.argv.slice(2)

const app = express()
app.use(express.json())
app.use(session({ secret: 'a secret of the bench', resave: true, saveUninitialized: true }))

const { app: companionApp } = companion.app({
  s3: {
    key: 'testkey',
    secret: 'testsecret',
    bucket: 'photos',
    region: 'us-east-1',
    endpoint,
    forcePathStyle: true,
    expires: 900,
  },
  server: { host: `127.0.0.1:${port}`, protocol: 'http' },
  filePath: process.env.TMPDIR || '/tmp',
  secret: 'a secret of the bench',
  corsOrigins: true,
  uploadUrls: [endpoint],
})
app.use(companionApp)

companion.socket(app.listen(Number(port), '127.0.0.1'))
