"""A key that is derived from the house's secret for one purpose, and for nothing else."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class DerivedKey:
    purpose: ClassVar[bytes]
    key: bytes

    @classmethod
    def derived_from(cls, secret: str) -> Self:
        return cls(hmac.digest(secret.encode(), cls.purpose, hashlib.sha256))

    def digest(self, what: bytes) -> bytes:
        """Only whoever has the key can give it."""
        return hmac.digest(self.key, what, hashlib.sha256)

    def proof(self, what: bytes) -> str:
        """The same as 43 characters of an address."""
        return text_of(self.digest(what))

    def is_proven(self, what: bytes, proof: str) -> bool:
        return hmac.compare_digest(proof.encode(), self.proof(what).encode())


def text_of(content: bytes) -> str:
    """As an address can carry it."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()
