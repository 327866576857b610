"""For those who run the house: health and metrics."""

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    status: str


@router.head("/health", include_in_schema=False)  # some balancers ask so
@router.get("/health", responses={503: {"model": Health, "description": "Send no requests now"}})
async def health(request: Request) -> Health:
    """200 while requests are welcome; 503 while starting, draining, or without a database."""
    status = await request.app.state.house.status()
    answer = {"status": status}
    return JSONResponse(answer, 200 if status == "ok" else 503)  # type: ignore[return-value]


@router.get("/health/live")
async def live() -> Health:
    """200 as long as the process answers at all."""
    return Health(status="ok")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Of all server processes, whichever is asked."""
    state = request.app.state
    text = state.metrics.text() if state.siblings is None else await state.siblings.text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
