"""The process that serves: uvicorn on our socket, ended gently, with a collector that keeps off the hot path."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from mooring.app import create_app
from mooring.errors import SetupProblem
from mooring.hanging_up import SocketProtocol
from mooring.observe.logs import configure_logs
from mooring.observe.siblings import Siblings
from mooring.sendfile import SendfileProtocol
from mooring.settings import Settings

LAST_SECONDS = 15.0  # beyond what it may take to drain and to stop


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Until SIGTERM or Ctrl-C; then drain, let what is under way finish, and return."""
    with listen(host, port) as listening:
        address = address_of(host, listening)
        greeting = greeting_of(settings, address, host)
        settings = settings if settings.public_url else settings.model_copy(update={"public_url": address})
        serve_on(listening, settings, greeting=greeting)


def serve_on(
    listening: socket.socket, settings: Settings, *, greeting: str = "", siblings: socket.socket | None = None
) -> None:
    """`siblings`: the way to the process that started several."""
    log = configure_logs(settings.log_level, secrets=settings.secrets)
    app = create_app(settings)
    if siblings is not None:
        app.state.siblings = Siblings(siblings, app.state.metrics)
        app.state.siblings.end_with_parent(most_to_stop(settings))
    try:
        _Server(app, settings, greeting).run(sockets=[listening])
    except SystemExit:
        raise app.state.failure from None
    finally:
        log.flush()


class _Server(uvicorn.Server):
    def __init__(self, app: FastAPI, settings: Settings, greeting: str) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=SendfileProtocol,
                ws=SocketProtocol,
                ws_max_size=2**16,  # nobody has anything to say there
                ws_per_message_deflate=False,  # for short messages, 40 KB of windows a connection
                access_log=False,
                log_level="critical",  # what goes wrong is in our own log
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=settings.stop_seconds,
            )
        )
        self._app = app
        self._settings = settings
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What was built so far stays: looking through it again and again is what makes the slowest requests slow.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        sys.stderr.write(self._greeting)
        if self._app.state.siblings is not None:
            await self._app.state.siblings.join()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._app.state.siblings is not None:
            await self._app.state.siblings.leave()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """uvicorn's own would end the process by the signal; a stop that was asked for is no failure."""
        loop = asyncio.get_running_loop()
        for asked in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(asked, self._stop)
        yield

    def _stop(self) -> None:
        """First look closed, so that balancers turn away; then be closed. Asked twice: at once."""
        house = getattr(self._app.state, "house", None)
        if house is None or house.doors == "draining":
            self._leave()
            return
        house.drain()
        asyncio.get_running_loop().call_later(self._settings.drain_seconds, self._leave)

    def _leave(self) -> None:
        """Live streams would keep us waiting; they find another instance, or this one when it is back."""
        self.should_exit = True
        house = getattr(self._app.state, "house", None)
        if house is not None:
            house.telling.live.close()


def most_to_stop(settings: Settings) -> float:
    """Seconds after which one that was asked to stop hangs."""
    return settings.drain_seconds + settings.stop_seconds + LAST_SECONDS


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SetupProblem(
            f"Can't listen on {host}:{port}: {error.strerror}. Choose another with --port, or stop what listens there."
        ) from error


def greeting_of(settings: Settings, address: str, host: str) -> str:
    lines = [f"Mooring serves at {address}  (the API explained: {address}/docs)"]
    if settings.is_embedded:
        lines.append(f"Its database is in {settings.data}. Stop it with Ctrl-C.")
    if host in ("0.0.0.0", "::") and not settings.public_url:  # noqa: S104
        lines.append(
            "Clients elsewhere can't upload to that address: set MOORING_PUBLIC_URL to how they reach this machine."
        )
    return "\n".join(lines) + "\n"


def address_of(host: str, listening: socket.socket) -> str:
    """Where it listens, as a URL."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
