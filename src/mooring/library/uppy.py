"""Uploads of a client that is not ours: Uppy's S3 plugin, which speaks with a server of its own makers, Companion.

What says its size goes straight to storage, by URLs of exactly that length. What does not comes through us, and is
counted as it comes: so nothing is stored that no quota has room for (`docs/decisions/0011-uppy.md`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mooring.accounts.users import user_by_id
from mooring.errors import (
    UrlNotValid,
)
from mooring.library.capabilities import CapabilityKey, Grant
from mooring.library.photos import ISSUE_PHOTOS
from mooring.library.recordings import ISSUE_RECORDING
from mooring.library.uppy_door import Door, Lane
from mooring.library.videos import ISSUE_VIDEO
from mooring.observe.metrics import Metrics
from mooring.uploads.direct import DirectUploads
from mooring.uploads.kinds import Kind
from mooring.uploads.service import Uploads


@dataclass(frozen=True)
class Uppy:
    uploads: Uploads
    direct: DirectUploads
    key: CapabilityKey
    lanes: Mapping[str, Lane]
    metrics: Metrics
    public_url: str

    async def grant(self, kind: str, *, user_id: int, target: int | str | None, life: timedelta) -> tuple[str, Grant]:
        expires_at = (self.uploads.clock() + life).replace(microsecond=0)
        granted = Grant(user_id, kind, target, expires_at)
        await self.lanes[kind].check_target(self.uploads.db, granted)
        return self.key.write(granted), granted

    async def admit(self, capability: str) -> Door:
        granted = self.key.read(capability, self.uploads.clock())
        user = await user_by_id(self.uploads.db, granted.user_id)
        if user is None or not user.is_active:
            raise UrlNotValid("This upload address is no longer good: its account was deactivated.")
        lane, url = self.lanes[granted.kind], f"{self.url(capability)}/s3"
        return Door(self.uploads, self.direct, self.metrics, lane, granted, url)

    def url(self, capability: str) -> str:
        """What Uppy is told as its Companion's address."""
        return f"{self.public_url}/uppy/{capability}"


def uppy_over(uploads: Uploads, kinds: Sequence[Kind], metrics: Metrics, secret: str, public_url: str) -> Uppy:
    lanes = {kind.name: _lane(kind) for kind in kinds}
    return Uppy(uploads, DirectUploads(uploads), CapabilityKey.derived_from(secret), lanes, metrics, public_url)


def _lane(kind: Kind) -> Lane:
    if kind.name == "photo":
        return Lane(kind, ISSUE_PHOTOS, owned="SELECT 1 FROM albums WHERE id = $1 AND owner_id = $2")
    if kind.name == "video":
        return Lane(kind, ISSUE_VIDEO, also=lambda granted: ({}, granted.target))
    return Lane(kind, ISSUE_RECORDING)
