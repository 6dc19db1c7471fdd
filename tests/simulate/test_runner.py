"""How a provider behaves on a real network: headers, retries, pauses. The server is a real hub."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from scimhub.simulate import comparison, people, providers, runner
from scimhub.simulate.provider import Provider
from scimhub.simulate.steps import Memory
from scimhub.simulate.stories import STORIES
from tests.simulate.served import Served
from tests.simulate.wire import Naps, Wire


def invent(provider: Provider, number: int = 6, seed: int = 0):
    return people.populate(provider.domain, number, seed=seed)


async def tell(name, served: Served, wire: Wire, *, flag="", number=6, stories=STORIES, **options):
    provider = providers.find(name, flag)
    options.setdefault("sleep", Naps())
    async with served.client(provider, wire) as client:
        return await runner.run(provider, invent(provider, number), stories, client, served.url + flag, **options)


SCIM = "application/scim+json"
CHARSET = "application/scim+json; charset=utf-8"
HEADERS = [
    ("okta", "GET", {"accept": SCIM, "accept-charset": "utf-8", "user-agent": "Okta SCIM Client 1.0.0"}),
    (
        "okta",
        "POST",
        {"accept": SCIM, "accept-charset": "utf-8", "user-agent": "Okta SCIM Client 1.0.0", "content-type": CHARSET},
    ),
    ("entra", "GET", {"accept": SCIM}),
    ("entra", "POST", {"accept": SCIM, "content-type": CHARSET}),
    (
        "google",
        "GET",
        {"accept": "application/json", "user-agent": "Google-Auto-Provisioning", "content-type": "application/json"},
    ),
    (
        "google",
        "POST",
        {"accept": "application/json", "user-agent": "Google-Auto-Provisioning", "content-type": "application/json"},
    ),
    ("onelogin", "GET", {"accept": "application/json", "user-agent": ""}),
    ("onelogin", "POST", {"accept": "application/json", "user-agent": "", "content-type": SCIM}),
    ("jumpcloud", "GET", {"accept": SCIM}),
    ("jumpcloud", "POST", {"accept": SCIM, "content-type": SCIM}),
]
TOLD = ("accept", "accept-charset", "user-agent", "content-type")


@pytest.mark.parametrize("name, method, headers", HEADERS)
async def test_every_provider_shows_its_own_headers(name, method, headers, new_directory):
    wire = Wire()
    await tell(name, new_directory(), wire, number=1, stories=["join"])
    shown = {
        json.dumps({each: request.headers[each] for each in TOLD if each in request.headers}, sort_keys=True)
        for request in wire.requests
        if request.method == method
    }
    assert shown == {json.dumps(headers, sort_keys=True)}


QUERIES = [
    ("okta", "", "filter=userName%20eq%20%22maria.kowalczyk%40tidewater.example%22&startIndex=1&count=100"),
    ("entra", "", "filter=userName+eq+%22"),
    ("entra", "?aadOptscim062020", "aadOptscim062020&filter=userName+eq+%22"),
]


@pytest.mark.parametrize("name, flag, query", QUERIES)
async def test_filters_are_escaped_as_the_provider_does(name, flag, query, new_directory):
    wire = Wire()
    provider = providers.find(name)
    assert (await tell(name, new_directory(), wire, flag=flag, stories=["join"])).failures == []
    first = invent(provider).person(0).user_name.replace("@", "%40")
    filters = [request.url.query.decode() for request in wire.requests if first in request.url.query.decode()]
    assert filters
    assert filters[0].startswith(query.replace("maria.kowalczyk%40tidewater.example", first))


# --------------------------------------------------------------------------- trouble


@pytest.mark.parametrize("name", providers.NAMES)
async def test_lost_answers_and_busy_servers_change_nothing_in_the_end(name, new_directory):
    served, provider = new_directory(), providers.find(name)
    troubles = ("lost", "unheard", 429, 500, 503)
    spared = 10  # the connection test is not retried

    def trouble(number, request):
        return troubles[number // 3 % len(troubles)] if number > spared and number % 3 == 0 else None

    wire = Wire(trouble)
    report = await tell(name, served, wire, number=8)
    assert report.failures == []
    assert report.retries >= len(wire.requests) // 3 - spared
    async with served.client(provider) as client:
        assert await comparison.compare(client, served.url, provider, invent(provider, 8), STORIES) == []


async def test_a_post_whose_answer_is_lost_is_looked_up_before_it_is_sent_again(new_directory):
    posts = Counter()

    def trouble(number, request):
        if request.method == "POST" and request.url.path.endswith("/Users"):
            posts["users"] += 1
            return "unheard" if posts["users"] == 1 else None
        return None

    wire = Wire(trouble)
    report = await tell("entra", new_directory(), wire, number=1, stories=["join"], concurrency=1)
    assert report.failures == []
    assert [request.method for request in wire.requests[3:6]] == ["GET", "POST", "GET"]
    assert posts["users"] == 1


def waits(retry_after):
    async def told(new_directory):
        naps = Naps()
        wire = Wire(lambda number, request: 429 if number == 5 else None, Retry_After=retry_after)
        report = await tell("google", new_directory(), wire, number=2, stories=["join"], sleep=naps)
        assert report.failures == []
        return naps.seconds

    return told


async def test_retry_after_in_seconds_is_kept_exactly(new_directory):
    assert await waits("17")(new_directory) == [17.0]


async def test_retry_after_as_a_date_is_kept(new_directory):
    until = datetime.now(UTC) + timedelta(minutes=10)
    (waited,) = await waits(format_datetime(until, usegmt=True))(new_directory)
    assert 0 < waited <= 600


async def test_a_retry_after_that_nobody_can_read_leaves_the_usual_delay(new_directory):
    (waited,) = await waits("soon")(new_directory)
    assert 0.25 <= waited <= 0.5


async def test_the_delay_doubles_and_after_six_attempts_the_task_has_failed(new_directory):
    naps = Naps()
    wire = Wire(lambda number, request: 502 if request.method == "PATCH" else None)
    report = await tell("google", new_directory(), wire, number=1, sleep=naps, concurrency=1)
    assert [(failure.phase, failure.kind, failure.status, failure.detail) for failure in report.failures] == [
        ("move", "PATCH /Users/{id}", 502, "Come back later."),
        ("leave", "PATCH /Users/{id}", 502, "Come back later."),
    ]
    assert len(naps.seconds) == 2 * (runner.ATTEMPTS - 1)
    assert [0.25 * 2**n <= waited <= 0.5 * 2**n for n, waited in enumerate(naps.seconds[:5])] == [True] * 5


async def test_after_a_429_nobody_speaks_until_the_pause_is_over(new_directory):
    wire = Wire(lambda number, request: 429 if number == 12 else None, Retry_After="3")
    spoken_meanwhile = []

    async def sleep(seconds):
        before = len(wire.requests)
        for _ in range(500):
            await asyncio.sleep(0)
        spoken_meanwhile.append(len(wire.requests) - before)

    report = await tell("entra", new_directory(), wire, number=12, stories=["join"], sleep=sleep)
    assert report.failures == []
    assert spoken_meanwhile == [0]


async def test_a_failed_connection_test_ends_the_run_at_once(new_directory):
    wire = Wire(lambda number, request: 503)
    report = await tell("okta", new_directory(), wire)
    assert not report.is_connected
    assert [failure.render() for failure in report.failures] == [
        {
            "phase": "connection test",
            "subject": "connection",
            "request": "GET /Users?startIndex",
            "status": 503,
            "detail": "Come back later.",
        }
    ]
    assert len(wire.requests) == 1


async def test_one_persons_failure_stops_nobody_else(new_directory):
    unlucky = invent(providers.find("entra")).person(3).user_name

    def trouble(number, request):
        return 400 if request.method == "POST" and unlucky.encode() in request.content else None

    report = await tell("entra", new_directory(), Wire(trouble), stories=["join"])
    assert [(failure.phase, failure.subject, failure.status) for failure in report.failures] == [
        ("join", unlucky, 400),
        ("references", unlucky, 200),
    ]
    assert report.tally("joined") == 5


async def test_no_more_conversations_at_a_time_than_asked(new_directory):
    running, most = 0, 0

    class Counting(Wire):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return await super().handle_async_request(request)
            finally:
                running -= 1

    await tell("entra", new_directory(), Counting(), number=12, stories=["join"], concurrency=3)
    assert most == 3


async def test_the_watcher_hears_of_every_task(new_directory):
    heard = []

    def watch(*news):
        heard.append(news)

    await tell("google", new_directory(), Wire(), number=2, stories=["join", "leave"], watch=watch)
    assert heard == [("connection test", 1, 4), ("join", 2, 4), ("join", 3, 4), ("leave", 4, 4)]


# --------------------------------------------------------------------------- determinism


async def transcript(name, served, concurrency):
    """All requests as text, the ids that the server gave replaced by what they stand for, and without its own ``meta``."""
    provider, wire = providers.find(name), Wire()
    memory = Memory(invent(provider, 7))
    await tell(name, served, wire, number=7, memory=memory, concurrency=concurrency)
    stands_for = {id_: f"<user {key}>" for key, id_ in memory.users.items()}
    stands_for |= {id_: f"<group {group}>" for group, id_ in memory.groups.items()}

    def plain(request: httpx.Request) -> str:
        body = json.loads(request.content or "{}")
        body.pop("meta", None)
        for each in body.get("groups", ()):
            each.pop("$ref", None)
        text = f"{request.method} {request.url.raw_path.decode().partition('/v2')[2]} {json.dumps(body, sort_keys=True)}"
        for id_, name in stands_for.items():
            text = text.replace(id_, name)
        return text

    return [plain(request) for request in wire.requests]


# JumpCloud's throw-away user and group are in nobody's memory.
@pytest.mark.parametrize("name", ["okta", "entra", "google", "onelogin"])
async def test_the_same_seed_sends_the_same_requests_whatever_the_concurrency(name, new_directory):
    alone = await transcript(name, new_directory(), 1)
    again = await transcript(name, new_directory(), 1)
    together = await transcript(name, new_directory(), 8)
    assert again == alone
    assert Counter(together) == Counter(alone)
