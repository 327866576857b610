"""Uppy in a browser, as npm has it: version 5 and version 6, in a page that `make-uppy.sh` bundles."""

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.async_api import Browser, Page

from servers.postgres import missing

BUNDLES = Path(__file__).parents[2] / ".uppy"
HTML = b"<!doctype html><meta charset=utf-8><title>Uppy</title><script src=/bundle.js></script>"


@dataclass(frozen=True)
class UppyPage:
    """One open page, and what it asked for."""

    page: Page
    asked: list[str]

    async def open(self, address: str, *, tells_size: bool = False, **options: Any) -> None:
        await self.page.evaluate(
            "([address, options, tells]) => open_uppy(address, options, tells)", [address, options, tells_size]
        )

    async def add(self, name: str, content_type: str, content: bytes | int) -> str:
        """These bytes; or so many that are noise, made in the page."""
        if isinstance(content, int):
            added = await self.page.evaluate("(about) => add_noise(...about)", [name, content_type, content])
        else:
            about = [name, content_type, b64encode(content).decode()]
            added = await self.page.evaluate("(about) => add_bytes(...about)", about)
        return str(added)

    async def upload(self) -> dict[str, Any]:
        """What became of all files that were added."""
        result: dict[str, Any] = await self.page.evaluate("upload()")
        return result

    async def said(self, event: str) -> list[dict[str, Any]]:
        said = await self.page.evaluate("JSON.parse(JSON.stringify(said))")
        return [one for one in said if one["event"] == event]


@asynccontextmanager
async def uppy_page(browser: Browser, version: str) -> AsyncIterator[UppyPage]:
    """Of an origin of its own: every request of Uppy is one to another."""
    bundle = BUNDLES / version / "bundle.js"
    if not bundle.exists():
        missing("Uppy is not here: run tests/servers/make-uppy.sh")
    window = await browser.new_context()
    page = await window.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    with served({"/": ("text/html", HTML), "/bundle.js": ("text/javascript", bundle.read_bytes())}) as origin:
        await page.goto(origin)
        said = await page.evaluate("version")
        assert said.startswith(version[1:]), said
        asked.clear()
        yield UppyPage(page, asked)
        await window.close()


@contextmanager
def served(files: Mapping[str, tuple[str, bytes]]) -> Iterator[str]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content_type, body = files.get(self.path, ("text/plain", b""))
            self.send_response(200 if self.path in files else 404)
            self.send_header("Content-Type", f"{content_type}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
