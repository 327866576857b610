"""A door before a storage that counts the HEAD requests that pass, each object's by itself, and how many are under way.

    python counting.py PORT UPSTREAM_PORT

It passes nothing but requests without a body. `GET /counted` answers with what it counted."""

import asyncio
import json
import sys
from collections import Counter

import uvloop

heads: Counter[str] = Counter()
now = most = 0


async def passing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: int) -> None:
    global now, most
    to, back = await asyncio.open_connection("127.0.0.1", upstream)
    try:
        while request := await _head(reader):
            method, path, _ = request.split(b" ", 2)
            if path == b"/counted":
                body = json.dumps({"heads": list(heads.values()), "most_at_once": most}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                continue
            key = path.partition(b"?")[0].decode()
            is_object = method == b"HEAD" and key.strip("/").count("/") > 0  # and not the bucket itself
            if is_object:
                heads[key] += 1
                now += 1
                most = max(most, now)
            back.write(request)
            answer = await _head(to)
            now -= is_object
            if not answer:
                return
            writer.write(answer)
    finally:
        writer.close()
        back.close()


async def _head(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def main(port: int, upstream: int) -> None:
    server = await asyncio.start_server(lambda r, w: passing(r, w, upstream), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
