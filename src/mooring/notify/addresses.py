"""Where a webhook may lead: an address that anybody may reach, unless the operator allowed its network.

Names are not judged, for a name may mean another address a moment later. They are resolved once, for the connection
itself, and what is connected to is the very address that was judged."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpcore

from mooring.errors import TooManyLookups, WebhookUrlNotUsable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
Found = asyncio.Future[Sequence[Any]]

LONGEST_URL = 2000
LOOKUP_SECONDS = 5.0
# Public by their number, and yet not: what clouds and carriers answer at inside.
_CLOUDS = ("168.63.129.16", "100.64.0.0/10", "192.0.0.0/24")
_RESERVED = ("192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4", "fec0::/10")
_INSIDE = [ip_network(one) for one in (*_CLOUDS, *_RESERVED)]
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Rules:
    """`inside`: networks of the operator's own that webhooks may lead into, also without TLS."""

    inside: Sequence[Network] = ()

    def permit(self, address: Address, *, is_tls: bool) -> bool:
        if any(address in network for network in self.inside if network.version == address.version):
            return True
        return is_tls and all(map(_is_public, _meanings(address)))


def _meanings(address: Address) -> Iterator[Address]:
    """The address itself, and the IPv4 address that an IPv6 one may stand for."""
    yield address
    if isinstance(address, IPv6Address):
        yield from filter(None, (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())))
        if address in _NAT64 or int(address) < 2**32:
            yield IPv4Address(int(address) % 2**32)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return True  # judged by what it stands for
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _INSIDE if network.version == address.version)
    )


@dataclass(frozen=True)
class Lookups:
    """Names, looked up in threads of our own: those of the event loop are four, and storage and database are looked up
    there. A name whose server never answers keeps its thread long after nobody waits for it, so each has but one."""

    look: Callable[..., Sequence[Any]] = socket.getaddrinfo
    most: int = 32
    under_way: dict[tuple[str, int], Found] = field(default_factory=dict)

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        found = self.under_way.get((host, port)) or self._begin(host, port)
        async with asyncio.timeout(LOOKUP_SECONDS):
            return [ip_address(str(one[4][0]).partition("%")[0]) for one in await asyncio.shield(found)]

    def _begin(self, host: str, port: int) -> Found:
        if len(self.under_way) >= self.most:
            raise TooManyLookups
        loop = asyncio.get_running_loop()
        found: Found = loop.create_future()
        # A daemon: what hangs must not keep the process from ending.
        Thread(target=self._look, args=(host, port, loop, found), name="webhook's name", daemon=True).start()
        self.under_way[host, port] = found
        return found

    def _look(self, host: str, port: int, loop: asyncio.AbstractEventLoop, found: Found) -> None:
        answer: Sequence[Any] | Exception
        try:
            answer = self.look(host, port, type=socket.SOCK_STREAM)
        except Exception as failure:
            answer = failure
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(self._end, host, port, found, answer)

    def _end(self, host: str, port: int, found: Found, answer: Sequence[Any] | Exception) -> None:
        del self.under_way[host, port]
        if isinstance(answer, Exception):
            found.set_exception(answer)
            found.exception()  # looked at: whoever asked may have gone
            return
        found.set_result(answer)


def parts_of(url: str) -> tuple[str, int, bool]:
    """Host, port and whether with TLS; `WebhookUrlNotUsable` says what is wrong with the text alone."""
    if len(url) > LONGEST_URL:
        raise WebhookUrlNotUsable(f"it has more than {LONGEST_URL} characters")
    if not url.isascii() or any(character <= " " or character == "\x7f" or character == "\\" for character in url):
        raise WebhookUrlNotUsable("it has characters that belong written as %XX, or, in the host, in punycode")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookUrlNotUsable("it can't be read as a URL") from None
    if parts.scheme not in ("https", "http"):
        raise WebhookUrlNotUsable("it must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise WebhookUrlNotUsable("it must not hold a user or a password")
    if parts.fragment or not parts.hostname or port == 0:
        raise WebhookUrlNotUsable("it needs a host and a port that exists, and no fragment")
    is_tls = parts.scheme == "https"
    return parts.hostname, port or (443 if is_tls else 80), is_tls


async def check(url: str, rules: Rules, resolve: Resolve) -> None:
    """For whoever creates a webhook: told now, instead of by dead letters."""
    host, port, is_tls = parts_of(url)
    try:
        found = await resolve(host, port)
    except (OSError, UnicodeError, ValueError):
        raise WebhookUrlNotUsable(f"the host {host} can't be found") from None
    if not any(rules.permit(one, is_tls=is_tls) for one in found):
        raise WebhookUrlNotUsable(_refusal(is_tls))


def _refusal(is_tls: bool) -> str:
    without = "" if is_tls else ", or without TLS (https://)"
    return f"it leads to an address that is private, local or reserved{without}"


@dataclass(frozen=True)
class Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that are permitted, by number. httpcore still says the name, in TLS and in `Host`."""

    rules: Rules
    is_tls: bool
    resolve: Resolve
    inner: httpcore.AsyncNetworkBackend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = [one for one in await self.resolve(host, port) if self.rules.permit(one, is_tls=self.is_tls)]
        if not found:
            raise WebhookUrlNotUsable(_refusal(self.is_tls))
        for address in found[:-1]:
            try:
                return await self.inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self.inner.connect_tcp(str(found[-1]), port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self.inner.sleep(seconds)
