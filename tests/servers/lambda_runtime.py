"""The documented side of AWS Lambda that a runtime talks to, so that a handler runs under the real `awslambdaric`."""

import json
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from servers import ours


class Lambda:
    """One container."""

    def __init__(self, address: str, log: Path) -> None:
        self.address = address
        self.log = log
        self.waiting: queue.Queue[tuple[str, object]] = queue.Queue()
        self.said: queue.Queue[tuple[str, Any]] = queue.Queue()

    def invoke(self, event: object, seconds: float = 60) -> tuple[str, Any]:
        """How it ended, `response` or `error`, and what it said."""
        self.waiting.put((str(uuid4()), event))
        return self.said.get(timeout=seconds)


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    container: Lambda

    def do_GET(self) -> None:
        name, event = self.container.waiting.get()
        body = json.dumps(event).encode()
        self.send_response(200)
        for header, value in {
            "Lambda-Runtime-Aws-Request-Id": name,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 30) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:0:function:arrivals",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.container.said.put((self.path.rpartition("/")[2], said))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def container_of(handler: str, env: Mapping[str, str], folder: Path) -> Iterator[Lambda]:
    class Api(_Api):
        """Of this container alone."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True  # one of them waits for an event that never comes
    container = Api.container = Lambda(f"127.0.0.1:{server.server_port}", folder / "lambda.log")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MOORING_", "AWS_", "S3_"))}
    given = {"AWS_LAMBDA_RUNTIME_API": container.address, "AWS_LAMBDA_FUNCTION_NAME": "arrivals", **env}
    env = {**clean, "LAMBDA_TASK_ROOT": str(folder), **given}
    process = ours.start([ours.PYTHON, "-m", "awslambdaric", handler], container.log, env=env, cwd=folder)
    try:
        yield container
    finally:
        process.kill()
        process.wait(10)
        server.shutdown()
        server.server_close()
