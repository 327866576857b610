"""UUIDs of version 7 (RFC 9562). They begin with the time: what is new lies together at the end of every index, where
random ones would touch a page each, and every listing of a bucket is in order."""

import os
from datetime import datetime
from uuid import UUID

from asyncpg.pgproto import pgproto  # its UUID is made and sent in a fraction of the time

_RANDOM = ~(0xF << 76 | 0b11 << 62)  # all bits that say neither version nor variant
_VERSION_7 = 0x7 << 76 | 0b10 << 62
_BYTES = 10
_AT_ONCE = 256  # a call of the system costs more than all the rest

_chances: list[bytes] = []
os.register_at_fork(after_in_child=_chances.clear)


def uuid_of(at: datetime) -> UUID:
    """A new one, for what begins at this moment."""
    milliseconds = int(at.timestamp() * 1000)
    if not _chances:
        drawn = os.urandom(_BYTES * _AT_ONCE)
        _chances.extend(drawn[at : at + _BYTES] for at in range(0, len(drawn), _BYTES))
    bits = milliseconds << 80 | int.from_bytes(_chances.pop(), "big")
    uuid: UUID = pgproto.UUID((bits & _RANDOM | _VERSION_7).to_bytes(16, "big"))
    return uuid
