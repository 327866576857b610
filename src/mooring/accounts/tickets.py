"""Tickets: what a browser shows where it can't send a header, as its EventSource and WebSocket can't.

They stand in an address, and addresses end up in logs: so one opens live streams and nothing else, and no longer than
the access token that it was made with."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mooring.accounts.callers import Caller
from mooring.derived_key import DerivedKey
from mooring.errors import NotSignedIn

MOST = timedelta(hours=1)  # however long another issuer's tokens last
_TICKET = re.compile(r"([0-9]{1,18})\.([0-9]{1,11})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Ticket:
    text: str
    expires_at: datetime


class Tickets(DerivedKey):
    purpose = b"mooring live tickets"

    def issue(self, caller: Caller, at: datetime) -> Ticket:
        expires_at = min(caller.expires_at or at + MOST, at + MOST).replace(microsecond=0)
        claim = f"{caller.user_id}.{int(expires_at.timestamp())}"
        return Ticket(f"{claim}.{self.proof(claim.encode())}", expires_at)

    def read(self, ticket: str, at: datetime) -> Caller:
        parts = _TICKET.fullmatch(ticket)
        if parts is None or not self.is_proven(f"{parts[1]}.{parts[2]}".encode(), parts[3]):
            raise NotSignedIn("The ticket is not one of ours. Ask for one: POST /uploads/stream/ticket.")
        expires_at = datetime.fromtimestamp(int(parts[2]), UTC)
        if expires_at <= at:
            raise NotSignedIn("The ticket has expired. Ask for another: POST /uploads/stream/ticket.")
        return Caller(int(parts[1]), is_admin=False, plan="free", expires_at=expires_at)
