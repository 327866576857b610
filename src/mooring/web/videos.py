"""Videos over HTTP, as guide 004 has them: in one PUT or in parts, then what became of it, and the film itself."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mooring.library.videos import Videos
from mooring.web.callers import SignedIn
from mooring.web.hot import file_answers
from mooring.web.images import deliver
from mooring.web.once import IdempotencyKey, answer_once, create_and_finish
from mooring.web.shapes import Cursor, Limit, PathId
from mooring.web.video_shapes import (
    BegunVideo,
    CompleteVideo,
    IssuedVideo,
    NewVideo,
    PartPlan,
    Rendition,
    SentParts,
    VideoOut,
    VideoPage,
    WantedParts,
    issued,
    planned,
    sent_so_far,
    shown,
)

router = APIRouter(prefix="/api/videos", tags=["videos"])


@router.post("/presigned-url", response_model=IssuedVideo)
async def issue_video(request: Request, new: NewVideo, caller: SignedIn, _: IdempotencyKey = None) -> Response:
    """One URL for a small file; for a large one a plan of its parts. PUT the file, or the parts in any order and
    several at once; then complete."""
    videos: Videos = request.app.state.house.videos

    async def create(tx: Any) -> BegunVideo:
        video_id = await videos.issue(
            new.claim(), user_id=caller.user_id, project_id=new.project_id, metadata=new.metadata, tx=tx
        )
        return BegunVideo(video_id=video_id)

    async def finish(begun: BegunVideo) -> IssuedVideo:
        return issued(await videos.ticket(begun.video_id, user_id=caller.user_id))

    return await create_and_finish(request, caller, create, finish, BegunVideo)


@router.post("/{video_id}/parts")
async def more_parts(
    request: Request, video_id: PathId, caller: SignedIn, wanted: WantedParts | None = None
) -> PartPlan:
    """Fresh URLs, by number or for all that is missing. Where less than half of the upload's time is left it gets more,
    as by `POST /uploads/{id}/renew`: so an upload may take as long as it likes."""
    numbers = wanted.numbers if wanted else None
    return planned(await request.app.state.house.videos.more_parts(video_id, numbers, user_id=caller.user_id))


@router.get("/{video_id}/parts")
async def sent_parts(request: Request, video_id: PathId, caller: SignedIn) -> SentParts:
    """The parts that are in storage: who lost everything but the video's id goes on from here."""
    return sent_so_far(await request.app.state.house.videos.parts(video_id, user_id=caller.user_id))


@router.post("/{video_id}/complete", response_model=VideoOut)
async def complete_video(
    request: Request,
    video_id: PathId,
    caller: SignedIn,
    asked: CompleteVideo | None = None,
    _: IdempotencyKey = None,
) -> Response:
    """Everything is sent: the parts are joined, what became of them is looked at in storage, and processing begins. May
    be repeated."""
    videos: Videos = request.app.state.house.videos

    async def complete() -> VideoOut:
        named = asked.named() if asked else None
        return shown(await videos.complete(video_id, user_id=caller.user_id, named=named), videos, caller)

    return await answer_once(request, caller, complete)


@router.get("")
async def list_videos(request: Request, caller: SignedIn, limit: Limit = 50, cursor: Cursor = None) -> VideoPage:
    """The caller's videos, newest first, those that are still on their way too."""
    videos: Videos = request.app.state.house.videos
    page = await videos.page(user_id=caller.user_id, before=cursor, limit=limit)
    listed = [shown(video, videos, caller) for video in page]
    return VideoPage(videos=listed, next_cursor=listed[-1].video_id if len(listed) == limit else None)


@router.get("/{video_id}")
async def get_video(request: Request, video_id: PathId, caller: SignedIn) -> VideoOut:
    """Its state, how far processing is, and what was made of it."""
    videos: Videos = request.app.state.house.videos
    return shown(await videos.get(video_id, user_id=caller.user_id), videos, caller)


@router.head("/{video_id}/stream", include_in_schema=False)
@router.get("/{video_id}/stream", response_class=Response, responses=file_answers("video/*", "image/*"))
async def stream_video(
    request: Request, video_id: PathId, caller: SignedIn, rendition: Rendition = Rendition.original
) -> Response:
    """302 to the CDN where there is one, else the bytes: all of them, or the range that is asked for."""
    file = await request.app.state.house.videos.file(video_id, rendition, user_id=caller.user_id)
    return await deliver(request, file, until=caller.expires_at)


@router.delete("/{video_id}", status_code=204)
async def delete_video(request: Request, video_id: PathId, caller: SignedIn) -> None:
    """The video and all that was made of it. One that is still on its way is given up: nothing of its parts is left."""
    await request.app.state.house.videos.delete(video_id, user_id=caller.user_id)
