"""Standard Webhooks: the secret of a webhook, and a message's three headers (https://www.standardwebhooks.com)."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime

from mooring.derived_key import DerivedKey


class WebhookKey(DerivedKey):
    """A webhook's own secret is made of this and of its seed: it can be made again to sign, and yet neither
    the database nor a backup of it holds one."""

    purpose = b"mooring webhooks"

    def secret(self, seed: str) -> bytes:
        return self.digest(seed.encode())


def shown(secret: bytes) -> str:
    return f"whsec_{b64encode(secret).decode()}"


def hash_of(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def headers(secret: bytes, message_id: str, body: str, at: datetime) -> Mapping[str, str]:
    """`at`: of this try, for a receiver refuses what was signed long ago."""
    moment = str(int(at.timestamp()))
    proof = hmac.digest(secret, f"{message_id}.{moment}.{body}".encode(), hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{b64encode(proof).decode()}",
    }
