"""EdgeAuth 2.0, which Akamai and those who sell it on verify."""

import hashlib
import hmac
import re
from collections.abc import Sequence

_ESCAPE = re.compile(r"%..")


def token(key: bytes, carried: Sequence[str], *, known: str = "") -> str:
    """The fields and their HMAC. `known` is signed and not carried: the edge has it from the request."""
    text = "~".join([*carried, known] if known else carried)
    return "~".join([*carried, f"hmac={hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}"])


def lowered(escaped: str) -> str:
    return _ESCAPE.sub(lambda found: found[0].lower(), escaped)
