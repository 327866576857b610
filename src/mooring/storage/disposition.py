"""RFC 6266's Content-Disposition: what a browser shall call a file."""

import re
from typing import Literal
from urllib.parse import quote


def disposition(how: Literal["attachment", "inline"], filename: str) -> str:
    """The name as it is for browsers, and a plain one for what is older."""
    name = "".join(letter if letter.isprintable() else "_" for letter in filename)
    plain = re.sub(r"[^ -~]|[\"\\%]", "_", name)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode(errors='replace'), safe='')}"
