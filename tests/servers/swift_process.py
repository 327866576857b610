"""OpenStack Swift as one process, S3 in front, for tests. Runs in `.venv-swift`: `python swift_process.py FOLDER`.

Proxy, account, container and object servers share one event loop, and a dictionary stands in for memcached. Prints
the port it listens on, and ends when its standard input does: with whoever started it, however that ended.
"""

import os
import sys
from pathlib import Path
from typing import Any

import eventlet

eventlet.patcher.monkey_patch()

import eventlet.wsgi  # noqa: E402  what is imported from here on must find the patched modules
from swift.common import http_protocol, storage_policy, utils, wsgi  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402

STORES = ("account", "container", "object")
FILTERS = ("catch_errors", "gatekeeper", "listing_formats", "bulk", "copy", "slo", "dlo", "symlink")

SWIFT = """
[swift-hash]
swift_hash_path_prefix = mooring
swift_hash_path_suffix = mooring
[storage-policy:0]
name = Policy-0
default = yes
[swift-constraints]
"""
COMMON = """
[DEFAULT]
swift_dir = {etc}
devices = {devices}
mount_check = false
log_level = ERROR
log_address = /dev/null
fallocate_reserve = 0
disable_fallocate = true
keepalive_timeout = 5
"""
STORE = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats bulk s3api tempauth copy slo dlo symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:cache]
paste.filter_factory = swift_process:cache
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
cors_preflight_allow_origin = *
"""


class Remembered:
    """As much of swift.common.memcached.MemcacheRing as the middlewares use."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def set(self, key: str, value: Any, **_: Any) -> None:
        self.kept[key] = value

    def get(self, key: str, **_: Any) -> Any:
        return self.kept.get(key)

    def incr(self, key: str, delta: int = 1, **_: Any) -> int:
        self.kept[key] = int(self.kept.get(key) or 0) + delta
        return int(self.kept[key])

    def decr(self, key: str, delta: int = 1, **_: Any) -> int:
        return self.incr(key, -delta)

    def delete(self, key: str, **_: Any) -> None:
        self.kept.pop(key, None)

    def set_multi(self, mapping: dict[str, Any], *_: Any, **__: Any) -> None:
        self.kept.update(mapping)

    def get_multi(self, keys: list[str], *_: Any, **__: Any) -> list[Any]:
        return [self.kept.get(key) for key in keys]


def cache(_: Any, **__: Any) -> Any:
    remembered = Remembered()

    def around(app: Any) -> Any:
        def call(environ: dict[str, Any], start: Any) -> Any:
            environ["swift.cache"] = remembered
            return app(environ, start)

        vars(call)["app"] = app  # Swift walks along the pipeline by it
        return call

    return around


def main(folder: Path) -> None:
    etc, devices = folder / "etc", folder / "srv"
    etc.mkdir(parents=True)
    (devices / "d1").mkdir(parents=True)
    (etc / "swift.conf").write_text(SWIFT)
    utils.set_swift_dir(str(etc))
    storage_policy.reload_storage_policies()
    common = COMMON.format(etc=etc, devices=devices)
    pool = eventlet.GreenPool()
    for name in STORES:
        listening = listen()
        ring(etc / f"{name}.ring.gz", listening.getsockname()[1])
        (etc / f"{name}.conf").write_text(common + STORE.format(name=name))
        pool.spawn(serve, etc / f"{name}.conf", listening)
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in FILTERS)
    (etc / "proxy.conf").write_text(common + PROXY + filters)
    front = listen()
    pool.spawn(serve, etc / "proxy.conf", front)
    eventlet.patcher.original("threading").Thread(target=end_with_stdin, daemon=True).start()
    print(front.getsockname()[1], flush=True)
    pool.waitall()


def listen() -> Any:
    return eventlet.listen(("127.0.0.1", 0), backlog=512)


def ring(file: Path, port: int) -> None:
    builder = RingBuilder(4, 1, 0)
    place = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "device": "d1", "weight": 1.0, **place})
    builder.rebalance()
    builder.get_ring().save(str(file))


def serve(conf: Path, listening: Any) -> None:
    app = wsgi.loadapp(str(conf), global_conf={"log_name": conf.stem})
    eventlet.wsgi.server(
        listening,
        app,
        wsgi.NullLogger(),
        protocol=http_protocol.SwiftHttpProtocol,
        capitalize_response_headers=False,
        url_length_limit=65536,
        socket_timeout=60,
    )


def end_with_stdin() -> None:
    while eventlet.patcher.original("os").read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.modules["swift_process"] = sys.modules["__main__"]  # proxy.conf names `cache` by it
    main(Path(sys.argv[1]).resolve())
