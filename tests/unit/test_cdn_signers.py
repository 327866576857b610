"""Each signer against its vendor: published vectors, or the vendor's own library."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.signers import CloudFrontSigner as TheirCloudFrontSigner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mooring.delivery.cdn.akamai import AkamaiSigner
from mooring.delivery.cdn.choice import signer_of
from mooring.delivery.cdn.cloudfront import CloudFrontSigner
from mooring.delivery.cdn.edgeauth import token
from mooring.delivery.cdn.nginx import NginxSigner
from mooring.delivery.cdn.nhn import NhnSigner, escaped
from mooring.delivery.cdn.port import Edge, Signer
from mooring.errors import SetupProblem

UNTIL = datetime.fromtimestamp(1_700_000_120, UTC)
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
CDN = "https://cdn.example.com"
KOREAN = "photos/0b1e_한글 이름+1%.jpg"
KOREAN_ADDRESS = "photos/0b1e_%ED%95%9C%EA%B8%80%20%EC%9D%B4%EB%A6%84%2B1%25.jpg"


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# ── NHN Cloud CDN: the vectors of its guide ──


def test_nhn_signs_a_path_as_its_guide_does() -> None:
    address = NhnSigner(Edge(CDN), KEY).url("photos/a b.jpg", until=UNTIL)
    hmac = "23bc082e3844b733c9d1eaf379e76f83176a1df147a7fdfc78a6be1278fc6550"
    assert address == f"{CDN}/photos/a%20b.jpg?token=exp=1700000120~hmac={hmac}"


def test_nhn_escapes_and_signs_a_pattern_as_its_guide_does() -> None:
    hmac = "e863882512fbca0294a42c15a70c92b49b246d6d4b9331e74ebced1e8845b5b6"
    acl = f"acl={escaped('/photos/*')}"
    assert token(KEY, ["exp=1700000120", acl]) == f"exp=1700000120~acl=%2fphotos%2f*~hmac={hmac}"


@pytest.mark.parametrize(
    ("text", "written"),
    [("a b", "a+b"), ("a+b", "a%2bb"), ("~", "%7e"), ("*-._", "*-._"), ("한", "%ed%95%9c"), ("ABC%", "ABC%25")],
)
def test_nhn_escapes_as_javas_urlencoder_in_lower_case(text: str, written: str) -> None:
    assert escaped(text) == written


# ── Akamai: what akamai-edgeauth 0.3.2 says, with escape_early=True, generate_url_token(path) ──


@pytest.mark.parametrize(
    ("base", "key", "address", "hmac"),
    [
        (
            CDN,
            "photos/a b.jpg",
            f"{CDN}/photos/a%20b.jpg",
            "23bc082e3844b733c9d1eaf379e76f83176a1df147a7fdfc78a6be1278fc6550",
        ),
        (CDN, KOREAN, f"{CDN}/{KOREAN_ADDRESS}", "8faa3708956cc781fc0b6067c0f52d17d6f0595182ae51dd216416f00550921c"),
        (
            f"{CDN}/b%20%C3%BCcket/",
            "photos/a b~*.jpg",
            f"{CDN}/b%20%C3%BCcket/photos/a%20b~%2A.jpg",
            "3cb71d8766248e0773f5dbb91da9c372993c38ee5ab45ee267516ef6287da502",
        ),
    ],
)
def test_akamai_signs_as_its_own_library_does(base: str, key: str, address: str, hmac: str) -> None:
    signed = AkamaiSigner(Edge(base), KEY).url(key, until=UNTIL)
    assert signed == f"{address}?__token__=exp=1700000120~hmac={hmac}"


# ── CloudFront: AWS' own library ──


@pytest.mark.parametrize("key", ["photos/a.jpg", "photos/a b.jpg", KOREAN])
def test_cloudfront_signs_as_botocore_does(private_key: rsa.RSAPrivateKey, key: str) -> None:
    ours = CloudFrontSigner(Edge(CDN), "K2JCJMDEHXQW5F", private_key)
    theirs = TheirCloudFrontSigner("K2JCJMDEHXQW5F", lambda text: private_key.sign(text, PKCS1v15(), SHA1()))
    address = Edge(CDN).address(key)
    assert ours.url(key, until=UNTIL) == theirs.generate_presigned_url(address, date_less_than=UNTIL)


# ── nginx: the example of its manual for secure_link_md5, less the client's address ──


def test_nginx_signs_as_openssl_does() -> None:
    """echo -n '1700000120/s/photos/a b.jpg secret' | openssl md5 -binary | openssl base64 | tr +/ -_ | tr -d ="""
    signed = NginxSigner(Edge(f"{CDN}/s"), "secret").url("photos/a b.jpg", until=UNTIL)
    assert signed == f"{CDN}/s/photos/a%20b.jpg?md5=964Nqy10989IAyLy9PecSg&expires=1700000120"


# ── all of them ──


@dataclass(frozen=True)
class Named:
    name: str
    key: str
    key_id: str | None = None

    def signer(self, **more: str | None) -> Signer | None:
        given = {"url": CDN, "key": self.key, "key_id": self.key_id, **more}
        return signer_of(self.name, **given)  # type: ignore[arg-type]


@pytest.fixture(params=["nhn", "akamai", "nginx", "cloudfront"])
def named(request: pytest.FixtureRequest, tmp_path: Path, private_key: rsa.RSAPrivateKey) -> Named:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(private_key))
    key = {"nginx": "a secret", "cloudfront": str(file)}.get(request.param, KEY.hex())
    return Named(request.param, key, "K2" if request.param == "cloudfront" else None)


def test_a_url_is_never_good_for_longer_than_was_said(named: Named) -> None:
    signer = named.signer()
    assert signer is not None
    exact = signer.url("photos/a.jpg", until=UNTIL)
    assert "1700000120" in exact
    assert signer.url("photos/a.jpg", until=UNTIL.replace(microsecond=999_999)) == exact


@pytest.mark.parametrize(
    "url", [None, "", "cdn.example.com", "ftp://x", "https://", "https://x/?a=b", "https://x/바다"]
)
def test_a_cdn_without_a_usable_address_is_a_setup_problem(named: Named, url: str | None) -> None:
    with pytest.raises(SetupProblem, match="MOORING_CDN_URL"):
        named.signer(url=url)


def test_a_cdn_without_its_key_is_a_setup_problem(named: Named) -> None:
    for key in (None, ""):
        with pytest.raises(SetupProblem, match="MOORING_CDN_KEY"):
            named.signer(key=key)


@pytest.mark.parametrize("name", ["nhn", "akamai"])
def test_a_key_that_is_not_hexadecimal_is_a_setup_problem(name: str) -> None:
    with pytest.raises(SetupProblem, match="hexadecimal"):
        Named(name, "not hex").signer()


def test_what_cloudfront_cannot_sign_with_is_a_setup_problem(tmp_path: Path) -> None:
    other, text = tmp_path / "ec.pem", tmp_path / "text.pem"
    other.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    text.write_text("no key")
    for key, why in ((str(other), "RSA"), (str(text), "PEM"), (str(tmp_path / "none"), "PEM")):
        with pytest.raises(SetupProblem, match=why):
            Named("cloudfront", key, "K2").signer()
    with pytest.raises(SetupProblem, match="MOORING_CDN_KEY_ID"):
        Named("cloudfront", str(other)).signer()


def test_no_cdn_is_no_signer() -> None:
    assert signer_of("none", url=None, key=None, key_id=None) is None
