// The page that the tests drive: an Uppy with nothing but its S3 plugin, and a list of what it said.
import AwsS3 from '@uppy/aws-s3'
import Uppy from '@uppy/core'

const V5 = AwsS3.VERSION.startsWith('5')

/** Not compressible, not all alike, and the same every time. */
function noise(size) {
  const bytes = new Uint8Array(size)
  for (let at = 0, seed = 1; at < size; at += 1) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    bytes[at] = seed >> 16
  }
  return bytes
}

window.version = AwsS3.VERSION
window.said = []

window.open_uppy = (address, options, tellsSize) => {
  window.uppy?.destroy()
  const uppy = new Uppy({
    autoProceed: false,
    onBeforeFileAdded: (file) => (tellsSize ? { ...file, meta: { ...file.meta, file_size: file.data.size } } : true),
  })
  uppy.use(AwsS3, { [V5 ? 'endpoint' : 'companionEndpoint']: address, ...options })
  for (const event of ['upload-success', 'upload-error', 's3-multipart:part-uploaded']) {
    uppy.on(event, (file, about) => {
      window.said.push({ event, name: file?.name, about: about?.message ?? about })
    })
  }
  uppy.on('upload-progress', (_, progress) => {
    window.sent = progress.bytesUploaded
  })
  window.uppy = uppy
}

window.add_noise = (name, type, size) => window.uppy.addFile({ name, type, data: new Blob([noise(size)], { type }) })

window.add_bytes = (name, type, base64) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
  return window.uppy.addFile({ name, type, data: new Blob([bytes], { type }) })
}

/** What became of it, in a shape that crosses to the test. */
window.upload = async () => {
  const { successful, failed } = (await window.uppy.upload()) ?? {}
  const told = (file) => ({
    name: file.name,
    error: file.error ?? null,
    url: file.uploadURL ?? null,
    body: JSON.parse(JSON.stringify(file.response?.body ?? null)),
  })
  return { successful: (successful ?? []).map(told), failed: (failed ?? []).map(told) }
}
