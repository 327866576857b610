"""The OpenAPI is true: whatever it allows or forbids, the service answers as it says, and never with a 500."""

import os
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
import structlog
from anyio import from_thread, to_thread
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from web.test_photos import issue, put
from web.test_videos import issue as issue_video
from web.test_videos import send_small

Operation = APIOperation[Any, Any, Any, Any]

# Left out, for each asks for what can't apply here. `ignored_auth` and `use_after_free` send again by themselves, over
# a network; test_auth.py and test_photos.py ask the same. `positive_data_acceptance` holds every 400, 413 and 429 for a
# fault, but a file of a size or type that is not allowed is valid JSON. `unsupported_method` wants 405 for
# GET /photos/confirm, where `confirm` is read as the id of a photo.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EXAMPLES = int(os.environ.get("MOORING_OPENAPI_EXAMPLES", "20"))  # of each operation and mode
Known = dict[str, int | str] | None
# Made-up ids seldom are anybody's: one that arrived, and two that wait.
KNOWN: dict[str, int | str] = {"get": 1, "patch": 1, "post": 4, "put": 4, "delete": 5}
VIDEOS: dict[str, int | str] = {"get": 6, "post": 7, "delete": 7}  # one that arrived, one whose parts are awaited


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.mark.timeout(600)  # of thousands of requests
async def test_the_openapi_is_true_and_no_request_is_answered_500(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    for _ in range(5):
        await put(signed_in, await issue(signed_in))
    await signed_in.post("/photos/confirm/batch", json={"photo_ids": [1, 2]})
    await send_small(signed_in, await issue_video(signed_in))
    await issue_video(signed_in, fileSize=2**30)
    token = (await signed_in.post("/albums/1/share-links", json={})).json()["token"]
    capability = (await signed_in.post("/uppy/capabilities", json={"kind": "video"})).json()["capability"]
    app.state.house.telling.live.close()  # or a stream would have no end
    schema = schemathesis.openapi.from_dict((await signed_in.get("/openapi.json")).json())
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == sum(len(methods) for methods in app.openapi()["paths"].values()) >= 21
    seen: set[int] = set()
    for operation in operations:
        await to_thread.run_sync(attack, signed_in, operation, GenerationMode.POSITIVE, None, seen)
        if takes_anything(operation):
            await to_thread.run_sync(attack, signed_in, operation, GenerationMode.NEGATIVE, None, seen)
        if "{" in operation.path:
            ids = VIDEOS if "{video_id}" in operation.path else KNOWN
            known = dict.fromkeys(re.findall(r"{(\w+)}", operation.path), ids[operation.method])
            known |= {name: text for name, text in (("token", token), ("capability", capability)) if name in known}
            await to_thread.run_sync(attack, signed_in, operation, GenerationMode.POSITIVE, known, seen)
    assert seen >= {200, 201, 204, 401, 404, 422}, "the attack did not get far"
    assert app.state.house.metrics.registry.get_sample_value("photo_api_exceptions_total") == 0


def takes_anything(operation: Operation) -> bool:
    """What takes nothing can't be given something wrong."""
    return bool({"parameters", "requestBody"} & set(operation.definition.raw))


def attack(client: httpx.AsyncClient, operation: Operation, mode: GenerationMode, known: Known, seen: set[int]) -> None:
    cases = operation.as_strategy(generation_mode=mode, path_parameters=known)

    @settings(
        max_examples=3 if known else EXAMPLES,
        derandomize=bool(os.environ.get("CI")),  # there the same each time: what fails is what was changed
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def answers_as_documented(case: Any) -> None:
        asked = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
        answer = from_thread.run(send, client, asked)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    try:
        answers_as_documented()
    except FailureGroup as failures:  # a group would take the loop of all other tests along
        raise AssertionError("\n".join(map(str, failures.exceptions))) from None


async def send(client: httpx.AsyncClient, asked: requests.PreparedRequest) -> httpx.Response:
    headers = [(name.encode(), one.encode() if isinstance(one, str) else one) for name, one in asked.headers.items()]
    body: Any = asked.body
    return await client.request(str(asked.method), str(asked.url), content=body or b"", headers=headers)


async def test_every_operation_says_who_may_call_it_and_how_it_refuses(app: FastAPI) -> None:
    free = {"/health", "/health/live", "/metrics", "/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"}
    free |= {"/share/{token}", "/share/{token}/photos/{photo_id}/image"}
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            is_free = path in free or path.startswith("/uppy/{capability}/")
            assert ("security" in operation) != is_free, (method, path)
            refusal = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert refusal == {"$ref": "#/components/schemas/Envelope"}
            assert operation["tags"]
            assert operation["operationId"]


async def test_every_creating_call_says_that_it_takes_a_key(app: FastAPI) -> None:
    for path in (
        "/albums",
        "/albums/{album_id}/photos",
        "/albums/{album_id}/share-links",
        *(path for path in app.openapi()["paths"] if re.search("^(?!/uppy/).*(presigned|confirm|complete)", path)),
        "/records/async",
        "/songs",
        "/webhooks",
    ):
        parameters = app.openapi()["paths"][path]["post"]["parameters"]
        [key] = [one for one in parameters if one["name"] == "Idempotency-Key"]
        assert (key["in"], key["required"]) == ("header", False)
        assert (key["schema"]["minLength"], key["schema"]["maxLength"]) == (1, 255)


async def test_every_reference_leads_somewhere(app: FastAPI) -> None:
    openapi = app.openapi()

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for one in part.values():
                yield from references(one)
        if isinstance(part, list):
            for one in part:
                yield from references(one)

    found = set(references(openapi))
    assert found
    assert {one.rpartition("/")[2] for one in found} <= set(openapi["components"]["schemas"])
    assert {one.rpartition("/")[0] for one in found} == {"#/components/schemas"}


async def test_the_page_that_explains_the_api_is_there(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert (page.status_code, "/openapi.json" in page.text) == (200, True)
