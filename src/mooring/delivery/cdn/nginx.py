"""The URLs that nginx's own module secure_link verifies, with

secure_link $arg_md5,$arg_expires;
secure_link_md5 "$secure_link_expires$uri <secret>";
"""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime

from mooring.delivery.cdn.port import Edge, seconds


@dataclass(frozen=True)
class NginxSigner:
    edge: Edge
    secret: str

    def url(self, key: str, *, until: datetime) -> str:
        expires = seconds(until)
        signed = f"{expires}{self.edge.path(key)} {self.secret}"
        digest = hashlib.md5(signed.encode(), usedforsecurity=False).digest()  # the only one that the module knows
        return f"{self.edge.address(key)}?md5={urlsafe_b64encode(digest).rstrip(b'=').decode()}&expires={expires}"
