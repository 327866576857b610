"""Recordings over HTTP, field by field as guide 003 has them."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

BODY = b"not really a recording"
NEW = {
    "originalFilename": "my-recording.mp3",
    "fileSize": len(BODY),
    "contentType": "audio/mpeg",
    "durationSeconds": 180,
}
RECORD_FIELDS = {
    "id",
    "title",
    "userId",
    "songId",
    "uploadId",
    "durationSeconds",
    "processingStatus",
    "s3Key",
    "publicUrl",
    "createdAt",
    "updatedAt",
}


async def issue(client: httpx.AsyncClient, **claim: Any) -> dict[str, Any]:
    answer = await client.post("/records/async/presigned-url", data={**NEW, **claim})
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def put(client: httpx.AsyncClient, issued: dict[str, Any], body: bytes = BODY) -> httpx.Response:
    """As guide 003's client does it: the content type is all it sends."""
    headers = {"Content-Type": issued["uploadHeaders"]["Content-Type"]}
    return await client.put(issued["presignedUrl"], content=body, headers=headers)


async def uploaded(client: httpx.AsyncClient, **claim: Any) -> dict[str, Any]:
    issued = await issue(client, **claim)
    assert (await put(client, issued)).status_code == 200
    return issued


async def create(client: httpx.AsyncClient, issued: dict[str, Any], **more: Any) -> httpx.Response:
    return await client.post("/records/async", json={"title": "Mine", "uploadId": issued["uploadId"], **more})


@pytest.fixture
def impatient(app: FastAPI) -> None:
    """No answer waits for a worker: there is none."""
    object.__setattr__(app.state.house.recordings, "patience", timedelta(0))
