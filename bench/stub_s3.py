"""A storage that answers at once: every object is there, with the size and ETag it was started with.

    python stub_s3.py PORT SIZE ETAG

It knows no signatures and keeps nothing. It only must never be what the confirm waits for."""

import asyncio
import sys
from typing import cast

import uvloop

MULTIPART = b"""<?xml version="1.0" encoding="UTF-8"?>
<InitiateMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\
<Bucket>photos</Bucket><Key>key</Key><UploadId>stub</UploadId></InitiateMultipartUploadResult>"""


def answer(length: int, etag: str, body: bytes = b"", content_type: str = "image/jpeg") -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: {content_type}\r\n"
        f'ETag: "{etag}"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n'
        "x-amz-request-id: 0000000000000000\r\nServer: stub\r\n\r\n"
    )
    return head.encode() + body


class Stub(asyncio.Protocol):
    def __init__(self, size: int, etag: str) -> None:
        self.head = answer(size, etag)
        self.multipart = answer(len(MULTIPART), etag, MULTIPART, "application/xml")
        self.nothing = answer(0, etag)
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, chunk: bytes) -> None:
        self.received += chunk
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            request, self.received = self.received[:end], self.received[end + 4 :]
            self.transport.write(self.answer_to(request))

    def answer_to(self, request: bytes) -> bytes:
        """The bench sends no bodies here, so a request is its head."""
        if request.startswith(b"HEAD "):
            return self.head
        line = request.partition(b"\r\n")[0]
        return self.multipart if line.startswith(b"POST ") and b"uploads" in line else self.nothing


async def main(port: int, size: int, etag: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(size, etag), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
