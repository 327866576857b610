"""Who really calls, where a trusted proxy stands in between. Nobody else is believed: anybody can send the headers."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_HOPS = 32  # read from the right; who is further away than this is not looked for
MOST_KEPT = 10_000
MOST_WORDS = 200  # bytes of headers whose meaning is remembered; what is longer is read every time


class Proxies:
    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._known: dict[str, bool] = {}
        self._read: dict[tuple[bytes, bytes, bytes], tuple[str | None, str | None]] = {}

    def see_through(self, scope: Scope) -> None:
        """Corrects who the client is and how it came, where the peer is one of ours."""
        peer = scope.get("client")
        if peer is None or not self._is_ours(peer[0]):
            return
        headers = _said(scope)
        known = self._read.get(headers)
        if known is None:
            known = self._understood(*headers)
            if sum(map(len, headers)) <= MOST_WORDS:
                _make_room(self._read)
                self._read[headers] = known
        client, scheme = known
        if client is not None:
            scope["client"] = (client, 0)
        if scheme is not None:
            scope["scheme"] = scheme

    def _understood(self, forwarded_for: bytes, forwarded: bytes, proto: bytes) -> tuple[str | None, str | None]:
        claims = [self._client(_backwards(forwarded_for)), self._client(_fors(forwarded))]
        said = {claim for claim in claims if claim is not None}
        client = said.pop() if len(said) == 1 else None  # two that differ: one the proxy let through unseen
        scheme = next(_backwards(proto), b"") or next(_named(forwarded, b"proto"), b"")
        return client, scheme.lower().decode() if scheme.lower() in (b"http", b"https") else None

    def _client(self, hops: Iterator[bytes]) -> str | None:
        """The nearest that is none of ours; of ours only, the furthest. What can't be read ends the way: behind it
        nothing is known."""
        furthest = None
        for _, hop in zip(range(MOST_HOPS), hops, strict=False):
            address = _address(hop)
            if address is None:
                break
            furthest = str(address)
            if not self._is_ours(furthest):
                break
        return furthest

    def _is_ours(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            _make_room(self._known)
            parsed = _address(address.encode(errors="replace"))
            known = parsed is not None and any(parsed in one for one in self._trusted)
            self._known[address] = known
        return known


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= MOST_KEPT:
        kept.clear()


_NAMES = (b"x-forwarded-for", b"forwarded", b"x-forwarded-proto")


def _said(scope: Scope) -> tuple[bytes, bytes, bytes]:
    """Of each name all headers, which are one list."""
    said: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _NAMES:
            said[name] = said[name] + b"," + value if name in said else value
    forwarded_for, forwarded, proto = (said.get(name, b"") for name in _NAMES)
    return forwarded_for, forwarded, proto


def _backwards(values: bytes) -> Iterator[bytes]:
    """One by one from the right: of ten thousand, only those that matter are looked at."""
    while values:
        values, _, last = values.rpartition(b",")
        yield last.strip()


def _named(forwarded: bytes, name: bytes) -> Iterator[bytes]:
    """Of RFC 7239's elements the parameter of this name, or nothing where an element has none."""
    for element in _backwards(forwarded):
        pairs = (pair.partition(b"=") for pair in element.split(b";"))
        yield next((value.strip().strip(b'"') for key, _, value in pairs if key.strip().lower() == name), b"")


def _fors(forwarded: bytes) -> Iterator[bytes]:
    return _named(forwarded, b"for")


def _address(text: bytes) -> Address | None:
    """With or without a port, brackets or quotes; IPv4 within IPv6 is IPv4. None: not an address of the network."""
    written = text[:64].decode("ascii", errors="replace").strip('"')
    if written.startswith("["):
        written = written[1:].partition("]")[0]
    elif written.count(":") == 1:
        written = written.partition(":")[0]
    try:
        parsed = ip_address(written)
    except ValueError:
        return None
    if isinstance(parsed, IPv4Address):
        return parsed
    return None if parsed.scope_id else parsed.ipv4_mapped or parsed
