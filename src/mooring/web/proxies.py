"""Who really calls, where a trusted proxy stands in between. Nobody else is believed: anybody can send the headers."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_HOPS = 32  # read from the right; who is further away than this is not looked for
MOST_KEPT = 10_000


class Proxies:
    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._known: dict[str, bool] = {}

    def see_through(self, scope: Scope) -> None:
        """Corrects who the client is and how it came, where the peer is one of ours."""
        peer = scope.get("client")
        if peer is None or not self._is_ours(peer[0]):
            return
        forwarded_for, forwarded, proto = (_values(scope, name) for name in _NAMES)
        claims = [self._client(_backwards(forwarded_for)), self._client(_fors(forwarded))]
        said = {claim for claim in claims if claim is not None}
        if len(said) == 1:  # two that differ: one of them the proxy let through unseen
            scope["client"] = (said.pop(), 0)
        scheme = next(_backwards(proto), b"") or next(_named(forwarded, b"proto"), b"")
        if scheme.lower() in (b"http", b"https"):
            scope["scheme"] = scheme.lower().decode()

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
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            parsed = _address(address.encode(errors="replace"))
            known = parsed is not None and any(parsed in one for one in self._trusted)
            self._known[address] = known
        return known


_NAMES = (b"x-forwarded-for", b"forwarded", b"x-forwarded-proto")


def _values(scope: Scope, name: bytes) -> bytes:
    """All headers of this name are one list."""
    return b",".join(value for header, value in scope["headers"] if header == name)


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
