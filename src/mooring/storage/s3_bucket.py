"""Which bucket, where, and with whose keys: from `s3://bucket?endpoint=…&region=…&style=…`."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from mooring.errors import SetupProblem

FORM = "s3://bucket?endpoint=URL&region=R&style=path|virtual"
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Bucket:
    name: str
    region: str
    endpoint: str | None  # None: Amazon's
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    path_style: bool = True

    @property
    def origin(self) -> str:
        """Scheme and host of the bucket's addresses."""
        if self.endpoint is None:
            ending = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
            scheme, host = "https", f"s3.{self.region}.{ending}"
        else:
            scheme, _, host = self.endpoint.partition("://")
        return f"{scheme}://{host}" if self.path_style else f"{scheme}://{self.name}.{host}"

    @property
    def path(self) -> str:
        """What stands before each key."""
        return f"/{self.name}/" if self.path_style else "/"


def bucket_of(
    url: str,
    *,
    access_key: str | None,
    secret_key: str | None,
    session_token: str | None = None,
    region: str = "us-east-1",
    endpoint: str | None = None,
) -> Bucket:
    """What the URL does not say comes from the arguments. `SetupProblem` says what to mend."""
    scheme, name, path, query, fragment = urlsplit(url)
    if scheme != "s3" or path.strip("/") or fragment:
        raise SetupProblem(f"The storage {url!r} is not of the form {FORM}.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", name):
        raise SetupProblem(f"{name!r} is no name of a bucket. The storage is written {FORM}.")
    said = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := said.keys() - {"endpoint", "region", "style"}:
        raise SetupProblem(f"The storage's URL does not know {', '.join(sorted(unknown))}: write {FORM}.")
    if not access_key or not secret_key:
        raise SetupProblem(f"Keys for the bucket {name} are missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    endpoint = _endpoint(said.get("endpoint") or endpoint)
    return Bucket(
        name=name,
        region=said.get("region") or region,
        endpoint=endpoint,
        access_key=access_key,
        secret_key=secret_key,
        session_token=session_token or None,
        path_style=_is_path_style(said.get("style"), name, endpoint),
    )


def _endpoint(written: str | None) -> str | None:
    if not written:
        return None
    parts = urlsplit(written)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable or parts.path.strip("/") or parts.query or parts.username is not None:
        raise SetupProblem(f"The endpoint {written!r} must be http://HOST:PORT or https://HOST, without a path.")
    port = f":{parts.port}" if parts.port and parts.port != {"http": 80, "https": 443}[parts.scheme] else ""
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}{port}"  # a usual port is left out, as clients leave it out of Host


def _is_path_style(style: str | None, name: str, endpoint: str | None) -> bool:
    if style not in (None, "path", "virtual"):
        raise SetupProblem(f"The storage's style is 'path' or 'virtual', not {style!r}.")
    if style == "virtual" and not _HOST_NAME.fullmatch(name):
        raise SetupProblem(f"The bucket {name!r} can't be part of a host's name: use style=path.")
    if style is None:
        # Amazon's certificate covers one label: a bucket with a dot in its name needs the path.
        return endpoint is not None or "." in name or not _HOST_NAME.fullmatch(name)
    return style == "path"
