"""A hub that dies at a named place, again and again, while clients write to it, and is started again each time."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import httpx

from scimhub.distribution.failpoints import AFTER_CHUNK, VARIABLE
from tests.end_to_end.checker import Journal
from tests.end_to_end.live import ADMIN_TOKEN, LiveHub, group, patch, user, wait_until

# How probable a death is each time a place is reached: a few deaths in a run, whatever is reached how often.
_PROBABILITY = {
    "after_write": 0.02,
    "after_commit": 0.02,
    "before_send": 0.01,
    "after_send": 0.01,
    "before_settle": 0.4,
    "after_settle": 0.4,
    AFTER_CHUNK: 0.7,
}
_WRITERS = 3
_STEPS = 40
_MOST_ROUNDS = 5
_DESTINATIONS = "/admin/v1/directories/default/destinations"
_HEADERS = {"authorization": f"Bearer {ADMIN_TOKEN}"}


class Supervisor:
    """Starts the hub again whenever it has died, as systemd would."""

    def __init__(self, hub: LiveHub, place: str, seed: int) -> None:
        self.hub = hub
        self.deaths = 0
        self._settings = hub.settings
        self._place = place
        self._seed = seed
        self._arm()
        # It may die while it starts.
        with contextlib.suppress(AssertionError):
            hub.start()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            assert self.hub.process is not None
            if self.hub.process.poll() is not None:
                self.deaths += 1
                self._arm()
                with contextlib.suppress(AssertionError):
                    self.hub.start()

    def _arm(self) -> None:
        # Other dice at each start: else it would die at the same step for ever.
        self.hub.settings = {
            **self._settings,
            VARIABLE: f"{self._place}:{_PROBABILITY[self._place]}:{self._seed + self.deaths}",
        }

    def end(self) -> None:
        """The hub runs from now on, and dies no more."""
        self._is_over.set()
        self._thread.join(30)
        self.hub.settings = self._settings
        if self.hub.process is not None and self.hub.process.poll() is None:
            self.hub.kill()
        self.hub.start()


class Client(Protocol):
    """What a writer asks of who speaks to the hub."""

    def __enter__(self) -> object: ...

    def __exit__(self, *error: object) -> None: ...

    def request(self, method: str, path: str, *, json: object) -> httpx.Response: ...


class Writer:
    """A client that goes on after each lost connection; only what was answered counts as done."""

    def __init__(self, client: Client, journal: Journal, seed: int) -> None:
        self._client = client
        self._journal = journal
        self._random = random.Random(seed)
        self._seed = seed
        self._users: list[str] = []
        self._groups: list[str] = []

    def run(self) -> None:
        with self._client:
            for step in range(_STEPS):
                self._step(step)

    def _step(self, step: int) -> None:
        dice = self._random.random()
        if step < 3 or dice < 0.3:
            self._create("/Users", user(f"p{self._seed}.{step}@example.com"), self._users)
        elif step == 3 or dice < 0.35:
            self._create("/Groups", group(f"g{self._seed}.{step}", *self._users[:2]), self._groups)
        elif dice < 0.65 and self._users:
            self._patch("Users", self._users, {"op": "replace", "path": "title", "value": f"t{step}"})
        elif dice < 0.95 and self._groups and self._users:
            member = {"value": self._random.choice(self._users)}
            self._patch("Groups", self._groups, {"op": "add", "path": "members", "value": [member]})
        elif len(self._users) > 2:
            self._delete(self._users.pop(self._random.randrange(len(self._users))))

    def _create(self, path: str, body: dict[str, object], made: list[str]) -> None:
        answer = self._send("POST", path, body)
        # After a lost answer it may be there already, which nobody confirmed to us.
        if answer.status_code == 201:
            made.append(answer.json()["id"])
            self._journal.note(answer.json()["id"], answer.headers["etag"])
        else:
            assert answer.status_code in (400, 409), answer.text

    def _patch(self, kind: str, ids: list[str], operation: dict[str, object]) -> None:
        id = self._random.choice(ids)
        answer = self._send("PATCH", f"/{kind}/{id}", patch(operation))
        if answer.is_success:
            self._journal.note(id, answer.headers["etag"])
        else:
            # A member that was deleted though its deletion was never confirmed.
            assert answer.status_code in (400, 404), answer.text

    def _delete(self, id: str) -> None:
        answer = self._send("DELETE", f"/Users/{id}", None)
        assert answer.status_code in (204, 404), answer.text
        self._journal.deleted.add(id)

    def _send(self, method: str, path: str, body: object) -> httpx.Response:
        end = time.monotonic() + 60
        while True:
            try:
                answer = self._client.request(method, path, json=body)
                if answer.status_code != 503:
                    return answer
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, "the hub did not come back"
            time.sleep(0.02)


def create_destination(hub: LiveHub, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The destination ``all``, made by the running hub."""
    made = httpx.post(f"{hub.url}{_DESTINATIONS}", json={"name": "all", **wish}, headers=_HEADERS, timeout=30, verify=False)
    assert made.status_code == 201, made.text
    let_settled_go(hub)
    return dict(made.json())


def let_settled_go(hub: LiveHub) -> None:
    """Each removal asks for its permit, but waits for no others, and they are never too many of the few that there are."""
    thresholds = {"settle_seconds": 0, "count": 1_000_000, "small_count": 1_000_000}
    assert httpx.put(
        f"{hub.url}{_DESTINATIONS}/all/brake", json=thresholds, headers=_HEADERS, timeout=30, verify=False
    ).is_success


def write_until_dead(hub: LiveHub, place: str, seed: int, journal: Journal) -> int:
    """Let clients write to the hub, which begins stopped and ends running, until it has died; how often it did."""
    supervisor = Supervisor(hub, place, 1000 * seed)
    with ThreadPoolExecutor(_WRITERS) as pool:
        for turn in range(_MOST_ROUNDS):
            writers = [Writer(hub.client(), journal, 100 * seed + 10 * turn + number) for number in range(_WRITERS)]
            for writing in [pool.submit(writer.run) for writer in writers]:
                writing.result()
            # A destination that takes long to open has begun to send late.
            _wait_a_little(lambda: supervisor.deaths > 0 or is_quiet(hub))
            if supervisor.deaths:
                break
    supervisor.end()
    return supervisor.deaths


def _wait_a_little(condition: Callable[[], bool]) -> None:
    with contextlib.suppress(AssertionError):
        wait_until(condition, "a death, or the end of what is owed", 10)


def deliver_all(hub: LiveHub) -> None:
    """Return when the destination has all that it is owed."""
    # What was held while the other end failed need not wait for its time.
    httpx.post(f"{hub.url}{_DESTINATIONS}/all/held/retry", json={}, headers=_HEADERS, timeout=30, verify=False)
    wait_until(lambda: is_quiet(hub), "the delivery of all that was owed")


def is_quiet(hub: LiveHub) -> bool:
    with contextlib.suppress(httpx.TransportError):
        status = httpx.get(f"{hub.url}{_DESTINATIONS}/all", headers=_HEADERS, timeout=5, verify=False).json()["status"]
        return all(status[name] == 0 for name in ("lag", "held", "brake_held", "in_flight"))
    return False
