"""What is AWS' own: batches of ten, failures of single entries, characters that are forbidden, addresses that are judged."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected, Retry
from tests.destinations.broker import Json, opened, send
from tests.destinations.broker_aws import SnsBroker, SqsBroker
from tests.destinations.broker_list import open_broker
from tests.destinations.receivers import message


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqsBroker]:
    with open_broker("sqs-fifo", tmp_path_factory.mktemp("sqs")) as opened:
        assert isinstance(opened, SqsBroker)
        yield opened


@dataclass
class Between:
    """Stands between the hub and SQS: looks at each batch, keeps entries back, answers in SQS' place."""

    url: str
    batches: list[list[Json]] = field(default_factory=list)
    # For an entry the failure with which it is answered; it is then not passed on.
    judge: Callable[[Json], Json | None] = lambda entry: None
    # For a whole request an error's code.
    refuse: Callable[[str, Json], str | None] = lambda action, body: None
    # Entries of which nothing is said at all.
    is_silent: bool = False
    # The id of an access key that is valid no longer.
    expired: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        action = request.headers["X-Amz-Target"].partition(".")[2]
        body = orjson.loads(await request.read())
        is_expired = f"Credential={self.expired}/" in request.headers["Authorization"]
        if code := "ExpiredToken" if is_expired else self.refuse(action, body):
            error = {"__type": f"com.amazonaws.sqs#{code}", "message": "as the test wishes"}
            return web.json_response(error, status=400, content_type="application/x-amz-json-1.0")
        failed = []
        if action == "SendMessageBatch":
            self.batches.append(body["Entries"])
            failed = [{"Id": entry["Id"], **found} for entry in body["Entries"] if (found := self.judge(entry))]
            kept_back = {one["Id"] for one in failed}
            body["Entries"] = [entry for entry in body["Entries"] if entry["Id"] not in kept_back]
        told = await self.pass_on(request, body) if body.get("Entries", True) else {"Successful": []}
        if failed and not self.is_silent:
            told["Failed"] = [*told.get("Failed", []), *failed]
        return web.json_response(told, content_type="application/x-amz-json-1.0")

    async def pass_on(self, request: web.Request, body: Json) -> Any:
        names = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")
        headers = {name: request.headers[name] for name in names}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url, data=orjson.dumps(body), headers=headers) as answer,
        ):
            return orjson.loads(await answer.read())


@asynccontextmanager
async def between(broker: SqsBroker, place: str) -> AsyncIterator[tuple[Between, Json]]:
    """It, and the configuration of a destination that sends through it."""
    await broker.create(place)
    found = Between(broker.url)
    application = web.Application()
    application.router.add_post("/", found.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (host, port) = runner.addresses[0][:2]
    try:
        yield found, {**broker.configuration(place), "endpoint_url": f"http://{host}:{port}"}
    finally:
        await runner.cleanup()


def of(number: int, resource: str | None = None) -> Message:
    return message(f"e{number}", partitionkey=resource or f"r{number}")


async def send_all(configuration: Json, some: list[Message], kind: str = "sqs") -> list[Outcome]:
    """What comes of messages that are sent in the same moment."""
    async with opened(kind, configuration, "secret") as sender:
        return list(await asyncio.gather(*map(sender.send, some)))


def resources(batch: list[Json]) -> list[str]:
    return [entry["MessageGroupId"] for entry in batch]


async def test_what_one_moment_brings_travels_in_batches_of_ten(broker: SqsBroker):
    async with between(broker, "tens") as (found, configuration):
        assert await send_all(configuration, [of(number) for number in range(25)]) == [Delivered()] * 25
        assert sorted(map(len, found.batches)) == [5, 10, 10]
    assert len(await broker.received("tens")) == 25


async def test_a_batch_has_one_event_of_a_resource_at_most(broker: SqsBroker):
    async with between(broker, "groups") as (found, configuration):
        await send_all(configuration, [of(number, f"r{number % 3}") for number in range(9)])
        assert all(len(set(resources(batch))) == len(batch) for batch in found.batches)
        assert sum(map(len, found.batches)) == 9


async def test_a_batch_has_at_most_the_bytes_that_a_batch_may_have(broker: SqsBroker):
    large = [Message(f"e{number}", of(number).attributes, b'"' + b"x" * 200_000 + b'"') for number in range(12)]
    async with between(broker, "bytes") as (found, configuration):
        assert await send_all(configuration, large) == [Delivered()] * 12
        assert max(map(len, found.batches)) == 5  # of 1 MiB


async def test_each_entry_of_a_batch_has_its_own_outcome(broker: SqsBroker):
    failures = {
        "r2": {"SenderFault": True, "Code": "InvalidMessageContents", "Message": "No."},
        "r4": {"SenderFault": False, "Code": "InternalError", "Message": "Later."},
    }
    async with between(broker, "partial") as (found, configuration):
        found.judge = lambda entry: failures.get(entry["MessageGroupId"])
        outcomes = await send_all(configuration, [of(number) for number in range(6)])
    assert outcomes == [
        Delivered(),
        Delivered(),
        Rejected("SQS does not take the event: InvalidMessageContents: No."),
        Delivered(),
        Retry("SQS does not take the event: InternalError: Later.", "resource"),
        Delivered(),
    ]
    assert [one.id for one in await broker.received("partial")] == ["e0", "e1", "e3", "e5"]


async def test_an_entry_of_which_nothing_is_said_is_not_delivered(broker: SqsBroker):
    async with between(broker, "silent") as (found, configuration):
        found.judge = lambda entry: {"Code": "x"} if entry["MessageGroupId"] == "r1" else None
        found.is_silent = True
        outcomes = await send_all(configuration, [of(0), of(1)])
    assert outcomes == [Delivered(), Retry("SQS did not say what became of the event.", "resource")]


async def test_a_batch_that_is_refused_for_one_entry_is_sent_one_by_one(broker: SqsBroker):
    async with between(broker, "singly") as (found, configuration):
        found.refuse = lambda action, body: (
            "InvalidMessageContents" if any("e1" in str(entry) for entry in body.get("Entries", ())) else None
        )
        outcomes = await send_all(configuration, [of(0), of(1), of(2)])
    assert outcomes[0] == outcomes[2] == Delivered()
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[1].reason.endswith(": InvalidMessageContents: as the test wishes")


async def test_a_refusal_of_the_whole_is_the_destinations(broker: SqsBroker):
    async with between(broker, "throttled") as (found, configuration):
        found.refuse = lambda action, body: "ThrottlingException" if action == "SendMessageBatch" else None
        (outcome,) = await send_all(configuration, [of(0)])
    assert isinstance(outcome, Retry)
    assert (outcome.blame, outcome.status) == ("destination", 400)
    assert "ThrottlingException" in outcome.reason


@pytest.mark.parametrize("code", ["KmsAccessDenied", "KMS.DisabledException", "AccessDenied"])
async def test_an_entry_that_fails_for_a_missing_right_is_the_destinations_failure(broker: SqsBroker, code: str):
    async with between(broker, f"rights-{code.replace('.', '-')}") as (found, configuration):
        found.judge = lambda entry: {"Code": code, "SenderFault": True, "Message": "as the test wishes"}
        (outcome,) = await send_all(configuration, [of(0)])
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"


async def test_credentials_that_expired_are_looked_for_again(
    broker: SqsBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "credentials"

    def write(key: str) -> None:
        file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = t\n")

    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    async with between(broker, "expired") as (found, configuration):
        write("AKIAFIRST")
        wish = {**configuration, "authentication": "environment"}
        del wish["access_key_id"]
        async with opened("sqs", wish) as sender:
            assert await sender.send(of(1)) == Delivered()
            found.expired = "AKIAFIRST"
            outcome = await sender.send(of(2))
            assert isinstance(outcome, Retry)
            assert (outcome.blame, "ExpiredToken" in outcome.reason) == ("destination", True)
            # Whoever renews them writes the file anew.
            write("AKIANEXT")
            outcomes = [await sender.send(of(2)), await sender.send(of(2))]
    assert outcomes[-1] == Delivered()


async def test_without_the_right_to_read_attributes_the_usual_limit_holds(broker: SqsBroker):
    async with between(broker, "hidden") as (found, configuration):
        found.refuse = lambda action, body: "AccessDenied" if action == "GetQueueAttributes" else None
        large = Message("e1", of(1).attributes, b'"' + b"x" * 262_144 + b'"')
        outcomes = await send_all(configuration, [of(0), large])
    assert outcomes[0] == Delivered()
    assert isinstance(outcomes[1], Rejected)
    assert "262,144" in outcomes[1].reason


async def test_a_limit_that_is_raised_lets_through_what_was_refused(broker: SqsBroker):
    await broker.create("raised", largest=2000)
    large = [Message(f"e{number}", of(number).attributes, b'"' + b"x" * 3000 + b'"') for number in range(1, 4)]
    async with opened("sqs", broker.configuration("raised"), "secret") as sender:
        assert await sender.send(of(0)) == Delivered()
        wish = {"QueueUrl": broker.queue_url("raised"), "Attributes": {"MaximumMessageSize": "20000"}}
        await asyncio.to_thread(broker.client("sqs").set_queue_attributes, **wish)
        assert await asyncio.gather(*map(sender.send, large)) == [Delivered()] * 3


async def test_characters_that_sqs_forbids_arrive_as_they_were(broker: SqsBroker):
    await broker.create("characters")
    data = {"text": "\ufffe\uffff\u0001\x7f\t\n😀"}
    assert await send(broker, "characters", Message("e1", of(1).attributes, orjson.dumps(data))) == Delivered()
    (arrived,) = await broker.received("characters")
    assert arrived.data == data


async def test_a_replay_is_not_taken_for_a_repetition(broker: SqsBroker):
    await broker.create("replay")
    attributes = of(1).attributes
    for delivery_id in ("e1", "e1", "e1_r1"):
        assert await send(broker, "replay", Message(delivery_id, attributes, b"{}")) == Delivered()
    assert len(await broker.received("replay")) == 2


async def test_a_topic_takes_batches_too(tmp_path: Path):
    with open_broker("sns-fifo", tmp_path) as broker:
        assert isinstance(broker, SnsBroker)
        await broker.create("entries")
        outcomes = await send_all(broker.configuration("entries"), [of(number) for number in range(12)], "sns")
        assert outcomes == [Delivered()] * 12
        assert sorted(one.id for one in await broker.received("entries")) == sorted(f"e{number}" for number in range(12))
