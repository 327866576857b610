"""Another try for what failed: an administrator's to ask for."""

import httpx
import pytest
from fastapi import FastAPI

from mooring.uploads.lifecycle import Move, State, Trigger, advance
from web.conftest import sign_in
from web.test_photos import issue, put, refused


@pytest.fixture
async def failed(app: FastAPI, signed_in: httpx.AsyncClient) -> int:
    house = app.state.house
    issued = await issue(signed_in)
    await put(signed_in, issued)
    photo_id: int = issued["photo_id"]
    assert (await signed_in.post("/photos/confirm", json={"photo_id": photo_id})).status_code == 200
    for state in (State.PROCESSING, State.FAILED):
        moves = [Move(photo_id, Trigger.WORKER, error="It broke.")]
        assert await advance(house.db, state, moves, what=state.lower(), at=house.clock())
    await house.db.execute("DELETE FROM pgqueuer")
    return photo_id


async def test_an_administrator_has_a_failed_upload_tried_again(
    app: FastAPI, signed_in: httpx.AsyncClient, failed: int
) -> None:
    db = app.state.house.db
    shown = (await signed_in.get(f"/uploads/{failed}")).json()
    assert (shown["state"], shown["error_message"]) == ("FAILED", "It broke.")
    refused(await signed_in.post(f"/uploads/{failed}/retry"), 403, "ADMINS_ONLY")
    await db.execute("UPDATE users SET role = 'admin'")
    await sign_in(signed_in, "owner@example.org")
    answer = await signed_in.post(f"/uploads/{failed}/retry")
    assert (answer.status_code, answer.json()["state"], answer.json()["error_message"]) == (200, "UPLOADED", None)
    assert await db.fetchval("SELECT count(*) FROM pgqueuer WHERE dedupe_key = $1", str(failed)) == 1
    refused(await signed_in.post(f"/uploads/{failed}/retry"), 409, "UPLOAD_NOT_FAILED")
    refused(await signed_in.post("/uploads/999/retry"), 404, "UPLOAD_NOT_FOUND")


async def test_a_photo_shows_nothing_of_its_processing_before_that(signed_in: httpx.AsyncClient, failed: int) -> None:
    photo = (await signed_in.get(f"/photos/{failed}")).json()
    assert [photo[name] for name in ("width", "height", "blurhash", "camera", "taken_at")] == [None] * 5
