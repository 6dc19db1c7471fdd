"""Who leaves while a slow receiver has thousands of changes before it, and while the hub is killed."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from tests.end_to_end import checker
from tests.end_to_end.checker import Journal
from tests.end_to_end.crashing import is_quiet
from tests.end_to_end.live import ADMIN_TOKEN, LiveHub, patch, user, wait_until
from tests.end_to_end.receiver import Receiver
from tests.end_to_end.test_accident import write

_PEOPLE = 300
_CHANGES = 7
_SLOWNESS = 0.05


def _create(hub: LiveHub, receiver: Receiver) -> None:
    wish = {"name": "all", "after": 0, "configuration": {"url": receiver.url, "concurrency": 4}}
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    made = httpx.post(f"{hub.url}/admin/v1/directories/default/destinations", json=wish, headers=headers)
    assert made.status_code == 201, made.text
    receiver.secrets.append(made.json()["secret"])


def _versions(receiver: Receiver, id: str) -> list[int]:
    return [event.version for event in receiver.events() if event.resource_id == id]


@pytest.mark.ci
def test_a_leaver_overtakes_though_the_hub_is_killed(tmp_path: Path):
    hub = LiveHub(tmp_path, {"SCIMHUB_EGRESS_LOOPBACK": "true"}).start()
    with Receiver() as receiver:
        made = asyncio.run(write(hub, [("POST", "/Users", user(f"u{number}", active=True)) for number in range(_PEOPLE)]))
        ids = [one["id"] for one in made]
        for number in range(_CHANGES):
            body = patch({"op": "replace", "path": "title", "value": f"title {number}"})
            asyncio.run(write(hub, [("PATCH", f"/Users/{id}", body) for id in ids]))
        slow = True

        def answer(event: object) -> int:
            # One at a time: the receiver's lock is held meanwhile.
            time.sleep(_SLOWNESS if slow else 0)
            return 204

        receiver.answer = answer
        _create(hub, receiver)
        wait_until(lambda: len(receiver.arrivals) > 20, "the beginning")

        # Of the leaver eight changes are owed, which at this pace are two minutes away in the log.
        leaver, last = ids[-1], _CHANGES + 2
        with hub.client() as client:
            assert client.delete(f"/Users/{leaver}").status_code == 204
        committed = time.monotonic()
        wait_until(lambda: len(_versions(receiver, leaver)) >= 3, "the first changes of the leaver")
        hub.kill()
        hub.start()
        wait_until(lambda: last in _versions(receiver, leaver), "the leaver")
        took = time.monotonic() - committed
        assert len(receiver.arrivals) < 400

        # So much later it is settled, and another death repeats nothing of it.
        count = len(receiver.arrivals)
        wait_until(lambda: len(receiver.arrivals) > count + 30, "thirty more")
        versions = _versions(receiver, leaver)
        hub.kill()
        slow = False
        hub.start()
        wait_until(lambda: is_quiet(hub), "all the rest")
        assert _versions(receiver, leaver) == versions
        assert hub.stop() == 0
        state = asyncio.run(checker.read_state(tmp_path / "scimhub.db"))
        checker.check(Journal(), state, receiver.arrivals, most_duplicates=100)
        print(f"The leaver arrived {took:.1f} s after his commit, with a death in between.")


@pytest.mark.ci
def test_a_leaver_arrives_at_once_behind_a_backlog(tmp_path: Path):
    hub = LiveHub(tmp_path, {"SCIMHUB_EGRESS_LOOPBACK": "true"}).start()
    with Receiver() as receiver:
        made = asyncio.run(write(hub, [("POST", "/Users", user(f"u{number}", active=True)) for number in range(2500)]))
        receiver.answer = lambda event: time.sleep(_SLOWNESS) or 204
        _create(hub, receiver)
        wait_until(lambda: len(receiver.arrivals) > 20, "the beginning")
        leaver = made[-1]["id"]
        with hub.client() as client:
            body = patch({"op": "replace", "path": "active", "value": False})
            assert client.patch(f"/Users/{leaver}", json=body).is_success
            committed = time.monotonic()
        wait_until(lambda: 2 in _versions(receiver, leaver), "the leaver")
        took = time.monotonic() - committed
        assert _versions(receiver, leaver) == [1, 2]
        # In the order of the log it would be two minutes.
        assert took < 30
        print(f"The leaver arrived {took:.2f} s after his commit, before {2500 - len(receiver.arrivals)} others.")
        metrics = httpx.get(f"{hub.url}/metrics").text
        assert 'scimhub_destination_oldest_leaver_seconds{destination="all",directory="default"} 0.0' in metrics or (
            'scimhub_destination_oldest_leaver_seconds{directory="default",destination="all"} 0.0' in metrics
        )
        hub.kill()
