"""Akamai's EdgeAuth token for one URL, as its own library makes it with `escape_early`.

That library sets the time zone of the whole process; this does not."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote_plus

from mooring.delivery.cdn.edgeauth import lowered, token
from mooring.delivery.cdn.port import Edge, seconds

TOKEN_NAME = "__token__"  # noqa: S105  what Akamai calls it unless told otherwise


@dataclass(frozen=True)
class AkamaiSigner:
    edge: Edge
    key: bytes

    def url(self, key: str, *, until: datetime) -> str:
        signed = token(self.key, [f"exp={seconds(until)}"], known=f"url={lowered(quote_plus(self.edge.path(key)))}")
        return f"{self.edge.address(key)}?{TOKEN_NAME}={signed}"
