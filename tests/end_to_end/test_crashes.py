"""The hub dies at each named place, again and again, while clients write; then the checker looks at all that arrived."""

import asyncio
import contextlib
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from scimhub.distribution.failpoints import AFTER_CHUNK, PLACES, VARIABLE
from tests.end_to_end import checker
from tests.end_to_end.checker import Journal
from tests.end_to_end.live import ADMIN_TOKEN, LiveHub, group, patch, user, wait_until
from tests.end_to_end.receiver import Receiver

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
_SETTINGS = {"SCIMHUB_EGRESS_LOOPBACK": "true"}


class Supervisor:
    """Starts the hub again whenever it has died, as systemd would."""

    def __init__(self, hub: LiveHub, place: str, seed: int) -> None:
        self.hub = hub
        self.deaths = 0
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
        self.hub.settings = {**_SETTINGS, VARIABLE: f"{self._place}:{_PROBABILITY[self._place]}:{self._seed + self.deaths}"}

    def end(self) -> None:
        self._is_over.set()
        self._thread.join(30)


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


def _is_quiet(hub: LiveHub) -> bool:
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    with contextlib.suppress(httpx.TransportError):
        shown = httpx.get(f"{hub.url}/admin/v1/directories/default/destinations/all", headers=headers, timeout=5).json()
        status = shown["status"]
        return all(status[name] == 0 for name in ("lag", "held", "brake_held", "in_flight"))
    return False


def let_settled_go(hub: LiveHub) -> None:
    """Each removal asks for its permit, but waits for no others, so that the test need not."""
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    thresholds = {"settle_seconds": 0, "percent": 100, "small_percent": 100}
    url = f"{hub.url}/admin/v1/directories/default/destinations/all/brake"
    assert httpx.put(url, json=thresholds, headers=headers).is_success


def run(folder: Path, place: str, seed: int) -> tuple[int, int]:
    """One run; how often the hub died, and how many duplicates arrived."""
    journal = Journal()
    with Receiver() as receiver:
        dice = random.Random(seed)
        # A receiver that fails now and then, so that lanes wait and are held while the hub dies.
        receiver.answer = lambda event: 500 if dice.random() < 0.05 else 204
        hub = LiveHub(folder, _SETTINGS).start()
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        wish = {"name": "all", "configuration": {"url": receiver.url}}
        made = httpx.post(f"{hub.url}/admin/v1/directories/default/destinations", json=wish, headers=headers)
        assert made.status_code == 201, made.text
        receiver.secrets.append(made.json()["secret"])
        let_settled_go(hub)
        hub.stop()
        supervisor = Supervisor(hub, place, 1000 * seed)
        with ThreadPoolExecutor(_WRITERS) as pool:
            for turn in range(_MOST_ROUNDS):
                writers = [Writer(hub.client(), journal, 100 * seed + 10 * turn + number) for number in range(_WRITERS)]
                for writing in [pool.submit(writer.run) for writer in writers]:
                    writing.result()
                if supervisor.deaths:
                    break
        supervisor.end()
        hub.settings = _SETTINGS
        receiver.answer = lambda event: 204
        if hub.process is not None and hub.process.poll() is None:
            hub.kill()
        hub.start()
        # What was held while the receiver failed need not wait for its time.
        httpx.post(f"{hub.url}/admin/v1/directories/default/destinations/all/held/retry", json={}, headers=headers)
        wait_until(lambda: _is_quiet(hub), 60, "the delivery of all that was owed")
        assert hub.stop() == 0
        assert receiver.refused == []
        state = asyncio.run(checker.read_state(folder / "scimhub.db"))
        # Between two settlings a death repeats at most what arrived since, here far less than the window.
        duplicates = checker.check(journal, state, receiver.arrivals, most_duplicates=120 * (supervisor.deaths + 2))
        return supervisor.deaths, duplicates


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_lost_or_out_of_order_when_the_hub_dies(place: str, tmp_path: Path) -> None:
    deaths, _ = run(tmp_path, place, seed=7)
    assert deaths > 0, "the hub never died: the test proves nothing"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
@pytest.mark.parametrize("place", PLACES)
def test_the_same_with_many_seeds(place: str, seed: int, tmp_path: Path) -> None:
    run(tmp_path, place, seed)
