"""The business gauges: what the last aggregation counted, and what happened here since.

One aggregation serves all instances (`library/growth.py`), so all show the same: dashboards take `max`, not `sum`.
Until the first there is nothing to show, which is better than a 0 that nobody counted."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mooring.observe.tally import OTHER

# Name: what it says, and its label.
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "photo_api_users_total": ("Accounts", ("status",)),
    "photo_api_albums_total": ("Albums", ("type",)),
    "photo_api_photos_total": ("Photos that arrived and are still there", ()),
    "photo_api_share_links_total": ("Share links", ("status",)),
    "photo_api_object_storage_usage_bytes": ("Bytes of all uploads that are stored", ()),
    "photo_api_object_storage_usage_by_user_bytes": ("The same by user", ("user_id",)),
    "photo_api_temp_upload_incomplete_after_ttl": ("Uploads whose URL lapsed and that never arrived", ()),
}


@dataclass
class Counted:
    """What one aggregation found."""

    users: int
    active_users: int
    albums: int
    shared_albums: int
    photos: int
    share_links: int
    active_share_links: int
    stored_bytes: int
    incomplete: int
    bytes_by_user: dict[str, int] = field(default_factory=dict)  # the biggest ones


class Growth(Collector):
    def __init__(self, most: int = 100, registry: CollectorRegistry | None = None) -> None:
        self.most = most
        self.now: Counted | None = None
        if registry is not None:
            registry.register(self)

    def settle(self, counted: Counted) -> None:
        """An aggregation: it corrects what was bumped."""
        self.now = counted

    # ── what happens in between ──

    def registered(self) -> None:
        if self.now:
            self.now.users += 1
            self.now.active_users += 1

    def album_created(self) -> None:
        if self.now:
            self.now.albums += 1

    def album_deleted(self) -> None:
        if self.now:
            self.now.albums -= 1

    def link_created(self) -> None:
        if self.now:
            self.now.share_links += 1
            self.now.active_share_links += 1

    def link_revoked(self) -> None:
        if self.now:
            self.now.active_share_links -= 1

    def stored(self, kind: str, user: str, size: int, count: int = 1) -> None:
        """On the path of every confirm. With a negative size and count: deleted."""
        now = self.now
        if now is None:
            return
        if kind == "photo":
            now.photos += count
        now.stored_bytes += size
        by_user = now.bytes_by_user
        if user in by_user or len(by_user) < self.most:
            by_user[user] = by_user.get(user, 0) + size

    def deleted(self, kind: str, user_id: int, size: int) -> None:
        """`size`: what of it was stored; 0 where nothing ever came."""
        if size:
            self.stored(kind, str(user_id), -size, -1)

    # ── a look ──

    def describe(self) -> Iterable[Metric]:
        return [Metric(name, what, "gauge") for name, (what, _) in GAUGES.items()]

    def collect(self) -> Iterable[Metric]:
        if self.now is None:
            return []
        samples = self._samples(self.now)
        return [_metric(name, samples[name]) for name in GAUGES]

    def _samples(self, now: Counted) -> dict[str, dict[str, int]]:
        by_user = {user: size for user, size in now.bytes_by_user.items() if size > 0}
        others = now.stored_bytes - sum(by_user.values())
        return {
            "photo_api_users_total": {"total": now.users, "active": now.active_users},
            "photo_api_albums_total": {"total": now.albums, "shared": now.shared_albums},
            "photo_api_photos_total": {"": now.photos},
            "photo_api_share_links_total": {"total": now.share_links, "active": now.active_share_links},
            "photo_api_object_storage_usage_bytes": {"": now.stored_bytes},
            "photo_api_object_storage_usage_by_user_bytes": by_user | ({OTHER: others} if others > 0 else {}),
            "photo_api_temp_upload_incomplete_after_ttl": {"": now.incomplete},
        }


def _metric(name: str, samples: dict[str, int]) -> Metric:
    what, labels = GAUGES[name]
    metric = Metric(name, what, "gauge")
    for value, number in samples.items():
        metric.add_sample(name, {labels[0]: value} if labels else {}, number)
    return metric
