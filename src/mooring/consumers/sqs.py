"""Messages of an SQS queue: long polls, a message deleted once it is settled, and left to come again where not."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from mooring.consumers.address import Source
from mooring.consumers.cancellation import heed_cancellation
from mooring.consumers.receiver import Receiver

log = structlog.get_logger()

MOST = 10  # of one poll, as Amazon has it
WAIT_SECONDS = 20
ANOTHER_TRY_SECONDS = 1.0
AWAY = (BotoCoreError, ClientError, OSError)


@dataclass(frozen=True)
class SqsConsumer:
    source: Source
    receiver: Receiver
    region: str
    access_key: str | None
    secret_key: str | None
    session_token: str | None = None
    polls: int = 2  # at once

    async def run(self, stopping: asyncio.Event) -> None:
        async with AsyncExitStack() as closing:
            sqs = await closing.enter_async_context(
                get_session().create_client(
                    "sqs",
                    region_name=self.source.words["region"] or self.region,
                    endpoint_url=self.source.words["endpoint"] or None,
                    aws_access_key_id=self.access_key,
                    aws_secret_access_key=self.secret_key,
                    aws_session_token=self.session_token,
                )
            )
            polls = [asyncio.create_task(self._poll(sqs, stopping)) for _ in range(self.polls)]
            try:
                await stopping.wait()
            finally:
                for poll in polls:
                    poll.cancel()  # what it was at becomes visible again, and comes again
                await asyncio.gather(*polls, return_exceptions=True)

    async def _poll(self, sqs: Any, stopping: asyncio.Event) -> None:
        url = ""
        while not stopping.is_set():
            heed_cancellation()
            try:
                url = url or await self._url(sqs)
                got = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=MOST, WaitTimeSeconds=WAIT_SECONDS)
                await self._settle(sqs, url, got.get("Messages", ()))
            except AWAY as away:
                log.warning("broker_away", source=str(self.source), why=str(away))
                await asyncio.sleep(ANOTHER_TRY_SECONDS)

    async def _url(self, sqs: Any) -> str:
        return str((await sqs.get_queue_url(QueueName=self.source.host))["QueueUrl"])

    async def _settle(self, sqs: Any, url: str, messages: Sequence[dict[str, Any]]) -> None:
        settled = await asyncio.gather(*(self.receiver.settle(message["Body"]) for message in messages))
        done = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(messages)
            if settled[number]
        ]
        if done:
            await sqs.delete_message_batch(QueueUrl=url, Entries=done)
