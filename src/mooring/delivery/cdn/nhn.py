"""Tokens of NHN Cloud CDN ("Auth Token"): EdgeAuth, with text escaped as Java's URLEncoder does it."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote_plus

from mooring.delivery.cdn.edgeauth import lowered, token
from mooring.delivery.cdn.port import Edge, seconds


@dataclass(frozen=True)
class NhnSigner:
    edge: Edge
    key: bytes

    def url(self, key: str, *, until: datetime) -> str:
        signed = token(self.key, [f"exp={seconds(until)}"], known=f"url={escaped(self.edge.path(key))}")
        return f"{self.edge.address(key)}?token={signed}"


def escaped(text: str) -> str:
    return lowered(quote_plus(text, safe="*").replace("~", "%7e"))
