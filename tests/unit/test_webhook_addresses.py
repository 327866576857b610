"""Where a webhook may lead, and where not, whatever its name says."""

import asyncio
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mooring.errors import TooManyLookups, WebhookUrlNotUsable
from mooring.notify import addresses
from mooring.notify.addresses import Address, Lookups, Resolve, Rules, check, parts_of
from mooring.notify.posting import Posting
from mooring.settings import networks_of
from servers.receiver import Receiver, receiving
from servers.waiting import until

LOOPBACK = Rules(networks_of("127.0.0.0/8"))


def answering(*turns: Sequence[str]) -> Resolve:
    """A name server that gives other answers every time; the last for ever."""
    left = [*turns]

    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [ip_address(one) for one in (left.pop(0) if len(left) > 1 else left[0])]

    return resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "192.88.99.1", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fec0::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_everybodys_is_refused(address: str) -> None:
    assert not Rules().permit(ip_address(address), is_tls=True)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:93.184.215.14", "1.1.1.1"])
def test_an_address_that_is_everybodys_is_permitted_with_tls_only(address: str) -> None:
    assert Rules().permit(ip_address(address), is_tls=True)
    assert not Rules().permit(ip_address(address), is_tls=False)


def test_networks_of_ones_own_are_permitted_and_no_others() -> None:
    rules = Rules(networks_of("10.1.0.0/16,fd12::/16"))
    permitted = [rules.permit(ip_address(one), is_tls=False) for one in ("10.1.2.3", "fd12::1", "10.2.0.1", "::1")]
    assert permitted == [True, True, False, False]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "file:///etc/passwd", "gopher://example.org", "//example.org", "example.org", "", "https://",
        "https:///hook", "https://user@example.org/", "https://user:word@example.org/", "https://@example.org/",
        "https://example.org/#part", "https://example.org:0/", "https://example.org:65536/", "https://example.org:x/",
        "https://exa mple.org/", "https://example.org/\nHost: inside", "https://example.org/\x00", "https://例え.jp/",
        "https://[::1/", "https://example.org\\@inside/", "https://example.org/" + "a" * 2000, "javascript:alert(1)",
    ],
)  # fmt: skip
def test_a_url_that_can_be_none_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(WebhookUrlNotUsable, match=r"^A webhook can't have this URL: .+\.$"):
        parts_of(url)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "0"])
async def test_other_ways_to_write_this_machine_are_seen_through(host: str) -> None:
    with pytest.raises(WebhookUrlNotUsable):
        await check(f"https://{host}/hook", Rules(), Lookups())


async def test_a_name_that_is_not_found_is_said() -> None:
    async def nowhere(host: str, port: int) -> Sequence[Address]:
        raise OSError("no such name")

    with pytest.raises(WebhookUrlNotUsable, match=r"the host nowhere\.example can't be found"):
        await check("https://nowhere.example/", Rules(), nowhere)


# ── the looking up ──


@dataclass
class NameServer:
    """Answers nobody, until it may."""

    may_answer: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        self.may_answer.wait(60)
        return [(None, None, None, "", ("127.0.0.1", port))]


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    monkeypatch.setattr(addresses, "LOOKUP_SECONDS", 0.05)
    server = NameServer()
    yield server
    server.may_answer.set()


async def until_it_answered(lookups: Lookups) -> None:
    async def nothing_is_under_way() -> bool:
        return not lookups.under_way

    await until(nothing_is_under_way)


async def test_names_that_are_never_answered_leave_the_loops_own_threads_alone(silent: NameServer) -> None:
    count = 40  # more than an event loop has threads
    lookups = Lookups(silent, most=count)
    checks = [check(f"https://{number}.example/", Rules(), lookups) for number in range(count)]
    refused = await asyncio.gather(*checks, return_exceptions=True)
    assert ["can't be found" in str(one) for one in refused] == [True] * count
    async with asyncio.timeout(20):
        assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    assert len(lookups.under_way) == count
    silent.may_answer.set()
    await until_it_answered(lookups)


async def test_one_name_is_looked_up_once_at_a_time_and_too_many_are_refused(silent: NameServer) -> None:
    lookups = Lookups(silent, most=2)
    for host in ("a", "a", "b", "b", "a"):
        with pytest.raises(TimeoutError):
            await lookups(host, 443)
    assert silent.asked == ["a", "b"]
    with pytest.raises(TooManyLookups):
        await check("https://c.example/", LOOPBACK, lookups)
    silent.may_answer.set()
    await until_it_answered(lookups)
    await check("https://c.example/", LOOPBACK, lookups)


async def test_a_failure_that_nobody_waits_for_any_more_is_nothing(silent: NameServer) -> None:
    def fail(*_: Any, **__: Any) -> list[Any]:
        silent.may_answer.wait(60)
        raise OSError("no such name")

    lookups = Lookups(fail)
    with pytest.raises(TimeoutError):
        await lookups("a", 443)
    silent.may_answer.set()
    await until_it_answered(lookups)
    with pytest.raises(OSError, match="no such name"):
        await lookups("a", 443)


# ── the connection itself ──


async def test_a_name_that_means_another_address_a_moment_later_leads_nowhere(receiver: Receiver) -> None:
    rebinding = answering(["93.184.215.14"], ["127.0.0.1"])
    url = f"https://rebinding.example:{receiver.port}/hook"
    await check(url, Rules(), rebinding)
    answered = await Posting(Rules(), rebinding).post(url, {}, "{}")
    assert answered.status is None
    assert "private" in (answered.error or "")
    assert receiver.received == []


async def test_a_redirect_is_not_followed_wherever_it_leads(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 307, {"Location": receiver.url(path="/inside")}
    answered = await Posting(LOOPBACK).post(receiver.url(), {}, "{}")
    assert (answered.status, answered.error) == (307, "It answered with a redirect, and none is followed.")
    assert [one.path for one in receiver.received] == ["/hook"]


async def test_one_resolution_serves_the_judgement_and_the_connection(receiver: Receiver) -> None:
    asked: list[str] = []

    async def once(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return [ip_address("127.0.0.1")]

    answered = await Posting(LOOPBACK, once).post(f"http://hooks.example:{receiver.port}/hook", {"x": "y"}, '{"a":1}')
    assert (answered.status, asked) == (204, ["hooks.example"])
    [came] = receiver.received
    assert came.headers["host"] == f"hooks.example:{receiver.port}"
    assert (came.body, came.headers["content-type"], came.headers["x"]) == ('{"a":1}', "application/json", "y")


async def test_of_several_addresses_only_the_permitted_are_tried(receiver: Receiver) -> None:
    several = answering(["10.0.0.1", "127.0.0.2", "127.0.0.1"])
    answered = await Posting(LOOPBACK, several, seconds=5).post(f"http://x.example:{receiver.port}/", {}, "{}")
    assert answered.status == 204


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of hooks.example and no other, signed by itself; with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    began = datetime(2020, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


@pytest.fixture
def over_tls(certificate: Path) -> Iterator[Receiver]:
    yield from receiving(certificate)


async def test_tls_is_held_against_the_name_although_the_number_is_connected_to(
    over_tls: Receiver, certificate: Path
) -> None:
    posting = Posting(LOOPBACK, answering(["127.0.0.1"]), authorities=str(certificate))
    assert (await posting.post(f"https://hooks.example:{over_tls.port}/", {}, "{}")).status == 204
    refused = await posting.post(f"https://other.example:{over_tls.port}/", {}, "{}")
    assert "CERTIFICATE_VERIFY_FAILED" in (refused.error or "")
    stranger = Posting(LOOPBACK, answering(["127.0.0.1"]))
    assert stranger.tls.verify_mode is ssl.CERT_REQUIRED
    assert (await stranger.post(f"https://hooks.example:{over_tls.port}/", {}, "{}")).status is None


async def test_who_does_not_answer_is_not_waited_for(receiver: Receiver) -> None:
    receiver.gate.clear()
    answered = await Posting(LOOPBACK, seconds=0.2).post(receiver.url(), {}, "{}")
    assert (answered.status, answered.error) == (None, "No answer within 0.2 seconds.")


async def test_nobody_there_is_told_and_no_more(receiver: Receiver) -> None:
    url = receiver.url()
    receiver.server.shutdown()
    receiver.server.server_close()
    answered = await Posting(LOOPBACK).post(url, {}, "{}")
    assert answered.status is None
    assert (answered.error or "").startswith("ConnectError")


@pytest.mark.parametrize(("said", "seconds"), [("120", 120), ("soon", None), ("-1", None), ("9" * 30, None)])
async def test_retry_after_is_heard(receiver: Receiver, said: str, seconds: int | None) -> None:
    receiver.status, receiver.headers = 503, {"Retry-After": said}
    answered = await Posting(LOOPBACK).post(receiver.url(), {}, "{}")
    assert answered.retry_after == (None if seconds is None else timedelta(seconds=seconds))
