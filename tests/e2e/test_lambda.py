"""The function under the real runtime client of AWS Lambda, on a real S3 storage; and the template that deploys it."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conftest import HeldClock
from house.reading import ROOT
from mooring.clock import now
from mooring.db.pool import Database
from mooring.library.figures import Taking
from mooring.library.photos import Ticket
from mooring.observe.metrics import Metrics
from mooring.storage.s3 import S3Storage
from servers.lambda_runtime import Lambda, container_of
from servers.s3 import S3Server
from servers.swift import swift_in
from world import BODY, World, disk_at, once

HANDLER = "mooring.functions.aws_lambda.handler"


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with swift_in(tmp_path) as server:
        yield server


@pytest.fixture
async def world(db: Database, clock: HeldClock, tmp_path: Path, server: S3Server) -> AsyncIterator[World]:
    storage = S3Storage(server.new_bucket())
    await storage.setup(origins=[])
    yield World.built(db, disk_at(tmp_path / "unused", clock), clock, storage=storage)
    await storage.close()


@pytest.fixture
def env(world: World, database_url: str) -> dict[str, str]:
    storage = world.uploads.storage
    assert isinstance(storage, S3Storage)
    return {
        "MOORING_TRIGGERS": "function",
        "MOORING_DATABASE_URL": database_url,
        "MOORING_STORAGE": f"s3://{storage.bucket.name}?endpoint={storage.bucket.endpoint}",
        "AWS_ACCESS_KEY_ID": storage.bucket.access_key,
        "AWS_SECRET_ACCESS_KEY": storage.bucket.secret_key,
    }


async def uploaded(world: World, count: int, body: bytes = BODY) -> list[Ticket]:
    user, album = await world.owner("premium")
    tickets = [await world.issue(user, album) for _ in range(count)]
    for ticket in tickets:
        await world.uploads.storage.write(ticket.object_key, once(body), content_type="image/jpeg")
    return tickets


def record(ticket: Ticket) -> dict[str, Any]:
    named = {"bucket": {"name": "photos"}, "object": {"key": ticket.object_key}}
    return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": named}


def message(name: str, *records: object) -> dict[str, Any]:
    return {"messageId": name, "eventSource": "aws:sqs", "body": json.dumps({"Records": records})}


def own(world: World) -> list[int]:
    """Sessions of this process."""
    return [holder._con.get_server_pid() for holder in world.db.pool._holders if holder._con]


async def connections(world: World) -> int:
    """Of the container: the test's own are of this process."""
    return int(
        await world.db.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> ALL ($1::int[])",
            own(world),
        )
    )


def invoke(container: Lambda, event: object) -> Any:
    how, said = container.invoke(event)
    assert how == "response", f"{said}\n{container.log.read_text()}"
    return said


async def test_a_function_takes_in_what_came_with_one_connection(
    world: World, env: dict[str, str], tmp_path: Path
) -> None:
    tickets = await uploaded(world, 6)
    longer = await uploaded(world, 1, BODY + b"!")
    with container_of(HANDLER, env, tmp_path) as container:
        assert invoke(container, {"Records": [record(ticket) for ticket in tickets]}) == {"arrived": 6}
        assert await connections(world) == 1
        assert invoke(container, {"Records": [record(ticket) for ticket in tickets]}) == {"repeated": 6}
        assert invoke(container, {"Service": "Amazon S3", "Event": "s3:TestEvent"}) == {"ignored": 1}
        bridge = {"detail-type": "Object Created", "detail": {"object": {"key": longer[0].object_key}}}
        assert invoke(container, bridge) == {"rejected": 1}
        assert await connections(world) == 1
        said = container.log.read_text()
    metrics = Metrics()
    await Taking(world.db, now, metrics).take()
    assert metrics.arrivals.values[("function",)] == 0, "what others counted is beside what we do"
    assert 'photo_api_upload_arrivals_total{trigger="function"} 6.0' in metrics.text().decode()
    assert 'photo_api_storage_events_total{result="repeated"} 6.0' in metrics.text().decode()
    assert 'photo_api_upload_outcomes_total{kind="photo",outcome="rejected"} 1.0' in metrics.text().decode()
    assert [await world.state(ticket.photo_id) for ticket in tickets + longer] == ["UPLOADED"] * 6 + ["REJECTED"]
    assert await world.story(tickets[0].photo_id) == [("issued", "client"), ("arrived", "function")]
    assert await world.db.fetchval("SELECT count(*) FROM pgqueuer") == 6
    assert said.count('"event":"upload_arrived"') == 6


async def test_of_a_batch_only_what_can_not_be_told_comes_again(
    world: World, env: dict[str, str], tmp_path: Path
) -> None:
    [ticket] = await uploaded(world, 1)
    nowhere = env | {"MOORING_STORAGE": "s3://photos?endpoint=http://127.0.0.1:9"}
    stranger = record(ticket)
    stranger["s3"]["object"]["key"] = "photos/somebody-elses.jpg"
    batch = [message("a", stranger), message("b", record(ticket)), message("c") | {"body": "{"}, message("d", stranger)]
    with container_of(HANDLER, nowhere, tmp_path) as container:
        assert invoke(container, {"Records": batch}) == {"batchItemFailures": [{"itemIdentifier": "b"}]}
        how, said = container.invoke({"Records": [record(ticket)]})
        assert (how, said["errorType"]) == ("error", "StorageUnavailable")
    assert await world.state(ticket.photo_id) == "PENDING"
    with container_of(HANDLER, env, tmp_path) as container:
        assert invoke(container, {"Records": batch}) == {"batchItemFailures": []}
    assert await world.state(ticket.photo_id) == "UPLOADED"


async def test_a_container_that_slept_gets_a_new_connection(world: World, env: dict[str, str], tmp_path: Path) -> None:
    first, second = await uploaded(world, 2)
    with container_of(HANDLER, env, tmp_path) as container:
        assert invoke(container, {"Records": [record(first)]}) == {"arrived": 1}
        await world.db.fetchval(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND pid <> ALL ($1::int[])",
            own(world),
        )
        assert invoke(container, {"Records": [record(second)]}) == {"arrived": 1}


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ({"MOORING_TRIGGERS": "client"}, "TriggerOff"),
        ({"MOORING_DATABASE_URL": ""}, "SetupProblem"),
        ({"MOORING_STORAGE": "disk"}, "SetupProblem"),
    ],
)
async def test_a_function_that_lacks_something_says_what(
    database_url: str, tmp_path: Path, lacks: dict[str, str], says: str
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "MOORING_STORAGE": "s3://photos"}
    whole = {**keys, "MOORING_TRIGGERS": "function", "MOORING_DATABASE_URL": database_url}
    with container_of(HANDLER, whole | lacks, tmp_path) as container:
        how, said = container.invoke({})
    assert (how, said["errorType"]) == ("error", says)
    assert "MOORING_" in said["errorMessage"]


def test_cfn_lint_accepts_the_template() -> None:
    program = Path(sys.executable).with_name("cfn-lint")
    command: list[str | Path] = [program, "--include-checks", "W", "--", ROOT / "deploy/aws/template.yaml"]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")
