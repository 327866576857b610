"""The signer that the settings ask for, or what a person must put right."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mooring.delivery.cdn.akamai import AkamaiSigner
from mooring.delivery.cdn.cloudfront import CloudFrontSigner
from mooring.delivery.cdn.nginx import NginxSigner
from mooring.delivery.cdn.nhn import NhnSigner
from mooring.delivery.cdn.port import Edge, Signer
from mooring.errors import SetupProblem

Cdn = Literal["none", "nhn", "akamai", "cloudfront", "nginx"]


def signer_of(cdn: Cdn, *, url: str | None, key: str | None, key_id: str | None) -> Signer | None:
    if cdn == "none":
        return None
    edge = _edge(cdn, url)
    if not key:
        raise SetupProblem(f"MOORING_CDN is {cdn}: MOORING_CDN_KEY must say what its URLs are signed with.")
    if cdn == "nhn":
        return NhnSigner(edge, _bytes(key))
    if cdn == "akamai":
        return AkamaiSigner(edge, _bytes(key))
    if cdn == "nginx":
        return NginxSigner(edge, key)
    if not key_id:
        raise SetupProblem("MOORING_CDN is cloudfront: MOORING_CDN_KEY_ID must be the ID of the public key there.")
    return CloudFrontSigner(edge, key_id, _private_key(Path(key)))


def _edge(cdn: Cdn, url: str | None) -> Edge:
    parts = urlsplit(url or "")
    is_plain = parts.geturl().isascii() and " " not in parts.geturl() and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not parts.netloc or not is_plain:
        raise SetupProblem(
            f"MOORING_CDN is {cdn}: MOORING_CDN_URL must be the address at which it serves the bucket, as in "
            "https://cdn.example.com/bucket."
        )
    return Edge(parts.geturl())


def _bytes(key: str) -> bytes:
    try:
        return bytes.fromhex(key)
    except ValueError:
        raise SetupProblem("MOORING_CDN_KEY must be hexadecimal digits, two for each byte.") from None


def _private_key(file: Path) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise SetupProblem(
            f"MOORING_CDN_KEY must be the file of a private key (PEM, without a password): {problem}"
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise SetupProblem("MOORING_CDN_KEY must be the file of an RSA key: CloudFront's signed URLs know no other.")
    return key
