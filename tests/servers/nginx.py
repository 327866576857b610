"""nginx as the edge of each CDN, in front of a Swift that refuses everybody else."""

import os
import shutil
import socket
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from servers.postgres import missing
from servers.s3 import S3Server

HERE = Path(__file__).parent
MODULE = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
KEY_HEX = "00112233445566778899aabbccddeeff"
SECRET = "a secret of the edge"
KEY_ID = "K2JCJMDEHXQW5F"
REFERRER = "edge-only.6d6f6f72696e67"


@dataclass(frozen=True)
class EdgeServer:
    """`{url}/{cdn}/{bucket}/{key}` is an object, for whoever has the token that this CDN wants."""

    url: str
    origin: S3Server
    private_key: Path

    def key(self, cdn: str) -> str:
        """As `MOORING_CDN_KEY` wants it."""
        return {"nginx": SECRET, "cloudfront": str(self.private_key)}.get(cdn, KEY_HEX)

    def only_reader_of(self, bucket: str) -> None:
        """Swift's read ACL on a referrer that nobody else knows."""
        swift = self.origin.endpoint
        person = {"X-Auth-User": self.origin.access_key, "X-Auth-Key": self.origin.secret_key}
        token = httpx.get(f"{swift}/auth/v1.0", headers=person, trust_env=False).headers["X-Auth-Token"]
        acl = {"X-Auth-Token": token, "X-Container-Read": f".r:{REFERRER}"}
        answer = httpx.post(f"{swift}/v1/AUTH_test/{bucket}", headers=acl, trust_env=False)
        assert answer.status_code == 204, answer.text


@contextmanager
def edge_in(folder: Path, origin: S3Server) -> Iterator[EdgeServer]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None or not MODULE.exists():
        missing("nginx is not here: apt-get install nginx-light libnginx-mod-http-js")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private_key = folder / "key.pem"
    private_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    port = free_port()
    with verifier(key.public_key()) as verifying:
        conf = folder / "nginx.conf"
        conf.write_text(filled(FOLDER=folder, PORT=port, ORIGIN=origin.endpoint, VERIFIER=verifying))
        command: list[str | Path] = [nginx, "-p", folder, "-e", folder / "error.log", "-c", conf]
        with subprocess.Popen(command, env={**os.environ, "EDGE_KEY_HEX": KEY_HEX}) as process:
            try:
                wait_for(port, process, folder / "error.log")
                yield EdgeServer(f"http://127.0.0.1:{port}", origin, private_key)
            finally:
                process.terminate()


def filled(**blanks: object) -> str:
    text = (HERE / "edge" / "nginx.conf").read_text()
    blanks |= {
        "MODULE": MODULE,
        "USER": "user root;" if os.geteuid() == 0 else "",
        "SCRIPTS": HERE / "edge",
        "REFERRER": REFERRER,
        "SECRET": SECRET,
    }
    for name, value in blanks.items():
        text = text.replace(f"@{name}@", str(value))
    return text


@contextmanager
def verifier(key: rsa.RSAPublicKey) -> Iterator[str]:
    """What CloudFront does with a signed URL, behind nginx' auth_request."""

    class Verifier(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204 if is_signed(key, self.headers["X-Asked-For"]) else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Verifier) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def is_signed(key: rsa.RSAPublicKey, address: str) -> bool:
    resource, _, query = address.partition("?")
    given = {name: values[0] for name, values in parse_qs(query).items()}
    if given.get("Key-Pair-Id") != KEY_ID or not given.get("Expires", "").isdigit() or "Signature" not in given:
        return False
    condition = f'{{"DateLessThan":{{"AWS:EpochTime":{given["Expires"]}}}}}'
    policy = f'{{"Statement":[{{"Resource":"{resource}","Condition":{condition}}}]}}'
    signature = given["Signature"].translate(str.maketrans("-_~", "+=/"))
    try:
        key.verify(b64decode(signature, validate=True), policy.encode(), PKCS1v15(), SHA1())
    except (InvalidSignature, ValueError):
        return False
    return time.time() < int(given["Expires"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port: int = nobody.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            said = log.read_text() if log.exists() else ""
            assert process.poll() is None, f"nginx did not start: {said}"
            assert time.monotonic() < deadline, f"nginx does not answer: {said}"
            time.sleep(0.01)
