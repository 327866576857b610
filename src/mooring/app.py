"""The application: routers, errors, middleware, and the house for as long as it runs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from mooring import __version__, clock
from mooring.clock import Clock
from mooring.observe.metrics import Metrics
from mooring.settings import Settings, networks_of
from mooring.web import (
    albums,
    auth,
    batch,
    direct,
    errors,
    events,
    images,
    live,
    operations,
    photos,
    records,
    share,
    songs,
    storage,
    uploads,
    uppy,
    videos,
    webhooks,
)
from mooring.web.edge import Cors, Edge
from mooring.web.hot import HotDoor
from mooring.web.limits import LimitsDoor
from mooring.web.proxies import Proxies
from mooring.wiring import House, open_house

HOT = (photos.hot, images.hot, live.hot, events.hot)


class Application(FastAPI):
    """FastAPI behind our own doors: what is hot never reaches it."""

    doors: ASGIApp
    limits: LimitsDoor | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await self.doors(scope, receive, send)


def create_app(settings: Settings, *, clock: Clock = clock.now) -> FastAPI:
    metrics = Metrics(settings.metrics_top)
    metrics.introduce(version=__version__, environment=settings.environment)

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as closing:
            try:
                house = await closing.enter_async_context(open_house(settings, clock=clock, metrics=metrics))
            except Exception as failure:
                app.state.failure = failure  # for `serve`, which says it to a person
                raise
            if application.limits is not None:
                closing.push_async_callback(application.limits.close)
            app.state.house = house
            app.state.disk = house.disk
            tasks = [asyncio.create_task(task) for task in _background(house)]
            house.open_doors()
            try:
                yield
            finally:
                house.drain()
                house.telling.live.close()
                if settings.worker:
                    await house.stop_work()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    app = application = Application(
        title="Mooring",
        version=__version__,
        description="Temporary upload URLs, and a ledger that knows what became of every one.",
        lifespan=living,
        responses={"default": {"model": errors.Envelope, "description": "What went wrong"}},
    )
    app.router.routes.extend(route.plain for hot in HOT for route in hot.routes)
    routed = (
        *(auth, albums, photos, direct, share, records, songs, videos),
        *(live, uploads, uppy, webhooks, batch, operations, storage),
    )
    for module in routed:
        app.include_router(module.router)
    errors.install(app)
    app.state.metrics = metrics
    app.state.siblings = None  # of one of several processes: the way to what the others count
    routes = [*app.routes, *(route for module in routed for route in module.router.routes)]
    app.doors = _doors(app, settings, metrics, routes)
    _document_hot_routes(app)
    return app


def _doors(app: Application, settings: Settings, metrics: Metrics, routes: Sequence[BaseRoute]) -> ASGIApp:
    """From the outside in: name, limit and measure; CORS where a page asks; limits; the hot routes; FastAPI."""
    inner: ASGIApp = HotDoor(super(Application, app).__call__, HOT)
    if settings.rate_limits:
        store = settings.rate_limit_store
        url = store.get_secret_value() if store else None
        inner = app.limits = LimitsDoor(inner, metrics, settings.rate_limit_items, url, routes)
    cors = Cors(
        inner,
        allow_origins=settings.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["ETag", "Location", "X-Request-ID", "Retry-After", "Content-Range", "Link", "X-Next-Cursor"],
        max_age=3600,
    )
    proxies = Proxies(networks_of(settings.trusted_proxies)) if settings.trusted_proxies else None
    return Edge(cors, metrics, max_body=settings.max_body_bytes, streams=_is_file, proxies=proxies)


def _is_file(path: str) -> bool:
    return path.startswith("/storage/") or path in ("/photos/", "/photos") or uppy.is_file(path)


def _background(house: House) -> list[Any]:
    settings = house.settings
    sweeping = [house.sweep.for_ever()] if settings.sweep and "sweep" in settings.triggers else []
    listening = [house.doorbell.answer(house.storage_events)] if house.disk and "event" in settings.triggers else []
    return [
        house.gauges.for_ever(),
        house.listening.run(),
        *sweeping,
        *listening,
        *([one.run() for one in house.workers] if settings.worker else []),
    ]


def _document_hot_routes(app: FastAPI) -> None:
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for hot in HOT:
                hot.document(plain())
        return plain()

    app.openapi = openapi  # type: ignore[method-assign]
