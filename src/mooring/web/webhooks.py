"""Webhooks over HTTP."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from mooring.notify import signing
from mooring.notify.webhooks import EVENTS, DeliveryState, EventType, Scope, Webhooks
from mooring.web.callers import SignedIn
from mooring.web.once import IdempotencyKey, create_once
from mooring.web.shapes import Asked, Cursor, Limit, PathId, reply

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


class NewWebhook(Asked):
    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        description="https://, to an address that anybody may reach"
    )
    events: Annotated[list[EventType], Field(min_length=1, max_length=len(EVENTS))] = Field(
        default=[*EVENTS], description="Left out: all"
    )
    scope: Scope = Field("own", description="`all`: everybody's uploads; for administrators")


class WebhookOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    url: str
    scope: Scope
    events: list[EventType]
    created_at: datetime
    disabled_at: datetime | None = Field(description="Nothing is sent to it any more")
    disabled_why: str | None


class SownWebhook(WebhookOut):
    """What is kept for an Idempotency-Key."""

    seed: str


class CreatedWebhook(WebhookOut):
    secret: str = Field(description="What its messages are signed with. Shown this once")


class WebhookPage(BaseModel):
    webhooks: list[WebhookOut]
    next_cursor: int | None


class DeliveryOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    event_id: int
    upload_id: int
    type: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    tried_at: datetime | None
    status: int | None = Field(description="What the last try was answered")
    error: str | None


class DeliveryPage(BaseModel):
    deliveries: list[DeliveryOut]
    next_cursor: int | None


@router.post("", status_code=201, response_model=CreatedWebhook)
async def create_webhook(request: Request, asked: NewWebhook, caller: SignedIn, _: IdempotencyKey = None) -> Response:
    """From now on each such transition is POSTed there, signed as Standard Webhooks has it."""
    webhooks: Webhooks = request.app.state.house.telling.webhooks
    await webhooks.check(asked.url, asked.scope, caller=caller)

    async def create(tx: Any) -> SownWebhook:
        made = await webhooks.create(asked.url, asked.scope, asked.events, caller=caller, tx=tx)
        return SownWebhook(**WebhookOut.model_validate(made.webhook).model_dump(), seed=made.seed)

    sown = await create_once(request, caller, create, status=201)
    return reply(_created(SownWebhook.model_validate_json(bytes(sown.body)), webhooks), 201)


@router.get("")
async def list_webhooks(request: Request, caller: SignedIn, limit: Limit = 50, cursor: Cursor = None) -> WebhookPage:
    """The caller's, newest first; of an administrator also the EventBridge bus."""
    webhooks: Webhooks = request.app.state.house.telling.webhooks
    page = await webhooks.page(caller, before=cursor, limit=limit)
    listed = [WebhookOut.model_validate(one) for one in page]
    return WebhookPage(webhooks=listed, next_cursor=listed[-1].id if len(listed) == limit else None)


@router.get("/{webhook_id}")
async def get_webhook(request: Request, webhook_id: PathId, caller: SignedIn) -> WebhookOut:
    webhooks: Webhooks = request.app.state.house.telling.webhooks
    return WebhookOut.model_validate(await webhooks.get(webhook_id, caller=caller))


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(request: Request, webhook_id: PathId, caller: SignedIn) -> None:
    """It, and all that was still to be sent to it."""
    webhooks: Webhooks = request.app.state.house.telling.webhooks
    await webhooks.delete(webhook_id, caller=caller)


@router.get("/{webhook_id}/deliveries")
async def list_webhook_deliveries(
    request: Request,
    webhook_id: PathId,
    caller: SignedIn,
    state: DeliveryState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DeliveryPage:
    """What was sent to it in the last 30 days, newest first; `state=dead`: what was given up."""
    webhooks: Webhooks = request.app.state.house.telling.webhooks
    page = await webhooks.deliveries(webhook_id, caller=caller, state=state, before=cursor, limit=limit)
    listed = [DeliveryOut.model_validate(one) for one in page]
    return DeliveryPage(deliveries=listed, next_cursor=listed[-1].id if len(listed) == limit else None)


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay")
async def replay_webhook_delivery(
    request: Request, webhook_id: PathId, delivery_id: PathId, caller: SignedIn
) -> DeliveryOut:
    """One that was given up is sent again, with the same `webhook-id`."""
    webhooks: Webhooks = request.app.state.house.telling.webhooks
    again = await webhooks.replay(webhook_id, delivery_id, caller=caller)
    return DeliveryOut.model_validate(again)


def _created(sown: SownWebhook, webhooks: Webhooks) -> CreatedWebhook:
    secret = signing.shown(webhooks.key.secret(sown.seed))
    return CreatedWebhook(**sown.model_dump(exclude={"seed"}), secret=secret)
