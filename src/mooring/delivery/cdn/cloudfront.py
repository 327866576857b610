"""CloudFront's signed URLs with a canned policy."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1

from mooring.delivery.cdn.port import Edge, seconds

_IN_A_QUERY = str.maketrans("+=/", "-_~")


@dataclass(frozen=True)
class CloudFrontSigner:
    edge: Edge
    key_id: str
    key: RSAPrivateKey

    def url(self, key: str, *, until: datetime) -> str:
        address, expires = self.edge.address(key), seconds(until)
        # CloudFront writes the policy anew from the URL and compares: to the letter, without a space.
        condition = f'{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}'
        policy = f'{{"Statement":[{{"Resource":"{address}","Condition":{condition}}}]}}'
        signature = self.key.sign(policy.encode(), PKCS1v15(), SHA1())  # noqa: S303  the only one it takes
        written = b64encode(signature).decode().translate(_IN_A_QUERY)
        return f"{address}?Expires={expires}&Signature={written}&Key-Pair-Id={self.key_id}"
