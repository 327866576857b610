import time
from typing import Any

import pytest

from mooring.settings import networks_of
from mooring.web.proxies import Proxies

TRUSTED = "10.0.0.0/8, ::1, fd00::/8"


def seen(peer: str | None, *headers: tuple[str, str | bytes], trusted: str = TRUSTED) -> Any:
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "client": None if peer is None else (peer, 4711),
        "headers": [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers],
    }
    Proxies(networks_of(trusted)).see_through(scope)
    return scope["client"][0] if scope["client"] else None, scope["scheme"]


def client(peer: str | None, *headers: tuple[str, str | bytes], trusted: str = TRUSTED) -> Any:
    return seen(peer, *headers, trusted=trusted)[0]


XFF = "x-forwarded-for"


@pytest.mark.parametrize(
    ("forwarded_for", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),  # what the client itself wrote stands to the left
        ("1.1.1.1, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        ("10.9.9.9, 10.1.1.1", "10.9.9.9"),
        ("203.0.113.9:51234", "203.0.113.9"),
        ("[2001:db8::9]:51234", "2001:db8::9"),
        ("2001:db8::9", "2001:db8::9"),
        ("2001:DB8:0::9", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, ::ffff:10.1.1.1", "203.0.113.9"),
        ('"203.0.113.9"', "203.0.113.9"),
        ("203.0.113.9, fd00::5", "203.0.113.9"),
        ("", "10.0.0.1"),
        (",,,", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.9, unknown", "10.0.0.1"),
        ("203.0.113.9, garbage, 10.1.1.1", "10.1.1.1"),
        ("1.2.3", "10.0.0.1"),
        ("256.1.1.1", "10.0.0.1"),
        ("0x7f.1", "10.0.0.1"),
        ("fe80::1%eth0", "10.0.0.1"),
        ("<script>", "10.0.0.1"),
        ("'; DROP TABLE users", "10.0.0.1"),
        ("203.0.113.9\x00", "10.0.0.1"),
        (b"\xff\xfe\x80", "10.0.0.1"),
        ("[", "10.0.0.1"),
        ("[]", "10.0.0.1"),
        (":", "10.0.0.1"),
        ("١٢٣.٤.٥.٦", "10.0.0.1"),
    ],
)
def test_behind_a_trusted_proxy_the_nearest_stranger_is_the_client(forwarded_for: str | bytes, expected: str) -> None:
    assert client("10.0.0.1", (XFF, forwarded_for)) == expected


@pytest.mark.parametrize(
    ("forwarded", "expected", "scheme"),
    [
        ("for=203.0.113.9", "203.0.113.9", "http"),
        ('For="[2001:db8::9]:4711";proto=https;by=10.0.0.1', "2001:db8::9", "https"),
        ("for=1.1.1.1, for=203.0.113.9;proto=HTTPS, for=10.1.1.1;proto=https", "203.0.113.9", "https"),
        ("for=unknown", "10.0.0.1", "http"),
        ("for=_hidden", "10.0.0.1", "http"),
        ("by=203.0.113.9", "10.0.0.1", "http"),
        ("for", "10.0.0.1", "http"),
        (";;;=,,=;", "10.0.0.1", "http"),
        ("proto=gopher", "10.0.0.1", "http"),
    ],
)
def test_the_header_of_rfc_7239_is_read_alike(forwarded: str, expected: str, scheme: str) -> None:
    assert seen("10.0.0.1", ("forwarded", forwarded)) == (expected, scheme)


def test_who_is_not_trusted_is_not_believed() -> None:
    lies = ((XFF, "1.1.1.1"), ("forwarded", "for=1.1.1.1;proto=https"), ("x-forwarded-proto", "https"))
    for peer in ("203.0.113.9", "11.0.0.1", "::2", "::ffff:11.0.0.1", "testclient", "", "10.0.0.1.evil", "10"):
        assert seen(peer, *lies) == (peer, "http")
    assert seen(None, *lies) == (None, "http")


def test_a_trusted_proxy_may_speak_ipv6() -> None:
    assert client("::1", (XFF, "203.0.113.9")) == "203.0.113.9"
    assert client("fd12::1", (XFF, "203.0.113.9")) == "203.0.113.9"
    assert client("::ffff:10.0.0.1", (XFF, "203.0.113.9")) == "203.0.113.9"
    assert client("192.0.2.1", (XFF, "203.0.113.9"), trusted="192.0.2.1") == "203.0.113.9"


def test_several_headers_are_one_list() -> None:
    assert client("10.0.0.1", (XFF, "1.1.1.1"), (XFF, "203.0.113.9"), (XFF, "10.1.1.1")) == "203.0.113.9"


def test_where_two_headers_differ_neither_is_believed() -> None:
    """A proxy writes one of them and lets the other through, which anybody may have sent."""
    both = ((XFF, "203.0.113.9"), ("forwarded", "for=1.1.1.1"))
    assert client("10.0.0.1", *both) == "10.0.0.1"
    assert client("10.0.0.1", (XFF, "203.0.113.9"), ("forwarded", "for=203.0.113.9")) == "203.0.113.9"


def test_the_scheme_is_the_nearest_proxys() -> None:
    for proto, scheme in (("https", "https"), ("HTTPS", "https"), ("http, https", "https"), ("https,http", "http"),
                          ("gopher", "http"), ("", "http"), ("https\r\nx", "http")):  # fmt: skip
        assert seen("10.0.0.1", ("x-forwarded-proto", proto))[1] == scheme


@pytest.mark.parametrize("flood", ["1" * 10_240, "10.1.1.1," * 1_200, "," * 10_240, ":" * 10_240, "for=;" * 2_048])
def test_ten_kilobytes_of_nonsense_cost_little(flood: str) -> None:
    proxies = Proxies(networks_of(TRUSTED))
    headers = [(XFF.encode(), flood.encode()), (b"forwarded", flood.encode())]
    began = time.perf_counter()
    for _ in range(100):
        proxies.see_through({"type": "http", "scheme": "http", "client": ("10.0.0.1", 1), "headers": headers})
    assert time.perf_counter() - began < 1
