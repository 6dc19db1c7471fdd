"""Holds the conversations with a real server: so many at a time as the provider, with retries, and measures.

A request is repeated after 429, 5xx and a lost answer, waiting longer each time and as long as ``Retry-After`` says (RFC 9110
§10.2.3). A POST whose outcome is unknown is not repeated: its conversation begins again, with the match query.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from urllib.parse import quote, quote_plus

import httpx

from scimhub.simulate import stories as telling
from scimhub.simulate.people import Population
from scimhub.simulate.provider import Provider
from scimhub.simulate.report import NO_ANSWER, Failure, Report
from scimhub.simulate.steps import Answer, Conversation, Memory, Step, Unusable
from scimhub.simulate.stories import Phase, Story, Task

# Called with the phase, the tasks that ended and the tasks there are in all.
Watch = Callable[[str, int, int], None]
Sleep = Callable[[float], Awaitable[None]]

ATTEMPTS = 6
_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0
_TIMEOUT = 60.0
_RETRIED = frozenset({429, 500, 502, 503, 504})
# What RFC 9110 and 6585 let a client take as "not done": the others leave open whether a POST was.
_NOT_DONE = frozenset({429, 503})


class _Stopped(Exception):
    """A conversation cannot go on. ``may_begin_again``: a POST may or may not have been done, the match query will tell."""

    def __init__(self, step: Step | None, answer: Answer, reason: str, may_begin_again: bool = False) -> None:
        super().__init__(reason)
        self.kind = step.kind if step else ""
        self.answer = answer
        self.reason = reason
        self.may_begin_again = may_begin_again


def open_client(provider: Provider, token: str | None, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client with the provider's headers; to be closed by the caller."""
    client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, transport=transport)
    # What the library adds of its own would give the simulation away.
    del client.headers["accept"], client.headers["user-agent"]
    for name, value in provider.headers.items():
        if value is not None:
            client.headers[name] = value
    if token is not None:
        # A token mistyped in another alphabet is for the server to refuse.
        client.headers.encoding = "utf-8"
        client.headers["Authorization"] = f"Bearer {token}"
    return client


async def run(
    provider: Provider,
    population: Population,
    stories: Sequence[Story],
    client: httpx.AsyncClient,
    base_url: str,
    *,
    concurrency: int | None = None,
    memory: Memory | None = None,
    watch: Watch | None = None,
    sleep: Sleep = asyncio.sleep,
) -> Report:
    """Tell the stories to the server at ``base_url``; the report of it.

    ``memory`` is handed on by who tells the stories one by one; without it ids are looked up. A failed connection test ends the
    run: no provider goes on after one.
    """
    memory = memory or Memory(population)
    random = Random(population.tag)  # noqa: S311  (it only spreads retries)
    speaker = _Speaker(provider, client, base_url, Report(provider.name), random, sleep)
    planned = telling.phases(provider, stories, memory)
    total, ended = sum(len(phase.tasks) for phase in planned), 0

    def end_task(phase: Phase) -> None:
        nonlocal ended
        ended += 1
        if watch is not None:
            watch(phase.name, ended, total)

    began = time.perf_counter()
    for place, phase in enumerate(planned):
        await _run_phase(speaker, phase, concurrency or provider.concurrency, end_task)
        if place == 0 and speaker.report.failures:
            speaker.report.is_connected = False
            break
    speaker.report.seconds = time.perf_counter() - began
    return speaker.report


async def _run_phase(speaker: "_Speaker", phase: Phase, concurrency: int, end_task: Callable[[Phase], None]) -> None:
    waiting = iter(phase.tasks)

    async def work() -> None:
        # One iterator for all workers: tasks begin in their order, whoever is free takes the next.
        for task in waiting:
            await speaker.tell(phase, task)
            end_task(phase)

    async with asyncio.TaskGroup() as workers:
        for _ in range(min(concurrency, len(phase.tasks))):
            workers.create_task(work())


class _Speaker:
    """The provider's HTTP side. After a 429 everybody pauses, as Entra's job does."""

    def __init__(
        self, provider: Provider, client: httpx.AsyncClient, base_url: str, report: Report, random: Random, sleep: Sleep
    ) -> None:
        self.report = report
        self._provider = provider
        self._client = client
        # The administrator of Entra may have appended a flag to the URL; it goes with every request.
        self._root, _, self._flag = base_url.partition("?")
        self._random = random
        self._sleep = sleep
        self._pauses = 0
        self._is_free = asyncio.Event()
        self._is_free.set()

    async def tell(self, phase: Phase, task: Task) -> None:
        """Hold the task's conversation to its end, and note how that went."""
        attempts = ATTEMPTS if phase.is_retried else 1
        for attempt in range(attempts):
            try:
                await self._converse(task.open(), attempts)
            except _Stopped as stop:
                if stop.may_begin_again and attempt + 1 < attempts:
                    await self._wait(attempt, stop.answer)
                    continue
                failure = Failure(phase.name, task.subject, stop.kind, stop.answer.status, stop.reason)
                self.report.failures.append(failure)
                return
            if task.tally is not None:
                self.report.note_success(task.tally, task.subject)
            return

    async def _converse(self, conversation: Conversation, attempts: int) -> None:
        step, answer = None, Answer(NO_ANSWER)
        try:
            step = next(conversation)
            while True:
                answer = await self._ask(step, attempts)
                if answer.status not in step.right:
                    raise _Stopped(step, answer, answer.detail)
                step = conversation.send(answer)
        except StopIteration:
            return
        except Unusable as error:
            raise _Stopped(step, answer, str(error)) from error

    async def _ask(self, step: Step, attempts: int) -> Answer:
        """The answer to a step, after so many attempts at most; raises _Stopped for a POST of unknown outcome."""
        for attempt in range(attempts):
            answer = await self._send(step)
            if answer.status not in _RETRIED and answer.status != NO_ANSWER:
                return answer
            if step.method == "POST" and answer.status not in _NOT_DONE:
                raise _Stopped(step, answer, answer.detail, may_begin_again=True)
            if attempt + 1 < attempts:
                await self._wait(attempt, answer)
        return answer

    async def _send(self, step: Step) -> Answer:
        await self._is_free.wait()
        began = time.perf_counter()
        try:
            response = await self._client.send(self._request(step))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            answer = Answer(NO_ANSWER, text=f"No answer: {error or type(error).__name__}.")
        else:
            answer = _read(response)
        self.report.note_answer(step.kind, answer.status, time.perf_counter() - began)
        return answer

    def _request(self, step: Step) -> httpx.Request:
        content = None if step.body is None else json.dumps(step.body, ensure_ascii=False, separators=(",", ":")).encode()
        is_typed = content is not None or self._provider.types_every_request
        headers = {"Content-Type": self._provider.content_type} if is_typed else {}
        escape = quote_plus if self._provider.blank == "+" else quote
        terms = [f"{name}={escape(value, safe='')}" for name, value in step.query.items()]
        query = "&".join([self._flag, *terms] if self._flag else terms)
        url = self._root.rstrip("/") + step.path + (f"?{query}" if query else "")
        return self._client.build_request(step.method, url, content=content, headers=headers)

    async def _wait(self, attempt: int, answer: Answer) -> None:
        """Back off before the next attempt; after a 429 nobody else speaks either."""
        self.report.retries += 1
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2**attempt) * (0.5 + self._random.random() / 2)
        if answer.retry_after is not None:
            delay = answer.retry_after
        if answer.status != 429:
            await self._sleep(delay)
            return
        self._pauses += 1
        self._is_free.clear()
        try:
            await self._sleep(delay)
        finally:
            self._pauses -= 1
            if self._pauses == 0:
                self._is_free.set()


def _read(response: httpx.Response) -> Answer:
    try:
        body = json.loads(response.content) if response.content else {}
    except ValueError:
        body = {}
    retry_after = _seconds(response.headers.get("Retry-After"))
    return Answer(response.status_code, body if isinstance(body, dict) else {}, response.text, retry_after)


def _seconds(retry_after: str | None) -> float | None:
    """RFC 9110 §10.2.3: a number of seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
