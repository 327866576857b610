import base64
import hashlib
import time
from urllib.parse import quote

from usual.settings import settings


def secure_link(key: str) -> str:
    """nginx: secure_link_md5 "$secure_link_expires$uri secret"."""
    expires = int(time.time()) + settings.cdn_expires_seconds
    path = "/" + quote(key)
    digest = hashlib.md5(f"{expires}{path} {settings.cdn_secret}".encode()).digest()
    token = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{settings.cdn_url}{path}?md5={token}&expires={expires}"
