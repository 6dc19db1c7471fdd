"""Three nodes on one PostgreSQL while clients write; nodes and the server are killed, stopped and renewed under them.

Afterwards the same checker looks at all that arrived as after the crashes of one hub.
"""

import asyncio
import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx
import pytest

from scimhub.consumer import Event
from scimhub.distribution import sealing
from tests.end_to_end import checker
from tests.end_to_end.checker import Journal
from tests.end_to_end.crashing import Writer, is_quiet, let_settled_go
from tests.end_to_end.live import ADMIN_TOKEN, LiveHub, user, wait_until
from tests.end_to_end.receiver import Receiver
from tests.keys import KEY
from tests.servers import postgres
from tests.servers.postgres import Server

LEASE = 2.0
NODES = 3
WRITERS = 3
# A node that is stopped keeps a client waiting for so long, in seconds; then another node is asked.
PATIENCE = 2.0


@pytest.fixture(scope="module")
def durable_server() -> Iterator[Server]:
    """A server that waits for the disk, so that it may die."""
    with postgres.serving(durable=True) as server:
        yield server


class Balancer:
    """A client that asks another node each time, as behind a load balancer."""

    def __init__(self, hubs: list[LiveHub]) -> None:
        self._clients = [hub.client() for hub in hubs]
        for client in self._clients:
            client.timeout = httpx.Timeout(PATIENCE)
        self._turns = itertools.cycle(self._clients)

    def __enter__(self) -> "Balancer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for client in self._clients:
            client.close()

    def request(self, method: str, path: str, *, json: object) -> httpx.Response:
        return next(self._turns).request(method, path, json=json)


Fault = Callable[[list[LiveHub], Server], None]


def kill_a_node(hubs: list[LiveHub], server: Server) -> None:
    for hub in hubs[:2]:
        hub.kill()
        time.sleep(0.5)
        hub.start()


def stop_a_node_for_longer_than_a_lease(hubs: list[LiveHub], server: Server) -> None:
    for hub in hubs:
        assert hub.process is not None
        hub.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * LEASE)
        hub.process.send_signal(signal.SIGCONT)


def renew_all_nodes(hubs: list[LiveHub], server: Server) -> None:
    for hub in hubs:
        assert hub.stop() == 0
        hub.start()


def let_the_server_crash(hubs: list[LiveHub], server: Server) -> None:
    for _ in range(2):
        server.stop(signal.SIGQUIT)
        server.start()
        time.sleep(1)


def start_nodes(folder: Path, database: str, count: int) -> list[LiveHub]:
    """So many equal nodes on the database, each with files of its own."""
    settings = {
        "SCIMHUB_DATABASE": database,
        # What events name as the hub must not depend on the node that sends them.
        "SCIMHUB_PUBLIC_URL": "https://hub.example",
        "SCIMHUB_LEASE_SECONDS": str(LEASE),
        "SCIMHUB_EGRESS_LOOPBACK": "true",
        "SCIMHUB_DATABASE_CONNECTIONS": "8",
        "SCIMHUB_SECRET_KEYS": sealing.write_key(KEY),
    }
    folders = [folder / str(number) for number in range(count)]
    for one in folders:
        one.mkdir()
    return [LiveHub(one, settings).start() for one in folders]


def connect(hub: LiveHub, receiver: Receiver, **more: object) -> None:
    """Have the receiver told everything."""
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    wish = {"name": "all", "configuration": {"url": receiver.url}, **more}
    made = httpx.post(f"{hub.url}/admin/v1/directories/default/destinations", json=wish, headers=headers, verify=False)
    assert made.status_code == 201, made.text
    receiver.secrets.append(made.json()["secret"])


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(stop_a_node_for_longer_than_a_lease, marks=pytest.mark.ci),
        *(pytest.param(fault, marks=pytest.mark.long) for fault in (kill_a_node, renew_all_nodes, let_the_server_crash)),
    ],
    ids=lambda fault: fault.__name__,
)
def test_nothing_is_lost_or_out_of_order(durable_server: Server, tmp_path: Path, fault: Fault) -> None:
    url = asyncio.run(durable_server.create_database())
    hubs = start_nodes(tmp_path, url, NODES)
    journal = Journal()
    with Receiver() as receiver:
        connect(hubs[0], receiver)
        let_settled_go(hubs[0])
        try:
            _write_while(lambda: fault(hubs, durable_server), hubs, journal)
            wait_until(lambda: all(is_quiet(hub) for hub in hubs), "the delivery of all that was owed")
        finally:
            codes = [hub.stop() for hub in hubs]
        assert codes == [0] * NODES
        assert receiver.refused == []
        state = asyncio.run(checker.read_state(url))
        assert len(state.changes) > 50
        # At each change of nodes what was under way, and what was not settled yet, may come twice.
        checker.check(journal, state, receiver.arrivals, most_duplicates=len(receiver.arrivals) // 2)
    asyncio.run(durable_server.drop_database(url))


def _write_while(act: Callable[[], None], hubs: list[LiveHub], journal: Journal) -> None:
    """Have clients write for as long as the fault takes, and a little before and behind it."""
    over = threading.Event()

    def write(number: int) -> None:
        for turn in itertools.count():
            Writer(Balancer(hubs), journal, 1000 * turn + number).run()
            if over.is_set():
                return

    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, number) for number in range(WRITERS)]
        try:
            time.sleep(0.5)
            act()
        finally:
            over.set()
        for each in writing:
            each.result()


# It trips at so many of a hundred.
THRESHOLD = 10
PEOPLE = 100
LEAVERS = 20


@pytest.mark.parametrize(
    "fault, settle_seconds",
    [
        pytest.param(stop_a_node_for_longer_than_a_lease, 0, marks=pytest.mark.ci),
        pytest.param(stop_a_node_for_longer_than_a_lease, 1, marks=pytest.mark.long),
        pytest.param(kill_a_node, 0, marks=pytest.mark.long),
        pytest.param(kill_a_node, 1, marks=pytest.mark.long),
    ],
)
def test_whoever_holds_the_lease_no_more_removals_leave_than_the_threshold_allows(
    durable_server: Server, tmp_path: Path, fault: Fault, settle_seconds: int
) -> None:
    """Nodes take turns in the middle of a burst, while each second removal is refused the first time that it is tried."""
    url = asyncio.run(durable_server.create_database())
    hubs = start_nodes(tmp_path, url, 2)
    tried: Counter[str] = Counter()

    def answer(event: Event) -> int:
        if event.type != "scimhub.user.deleted":
            return 204
        tried[event.resource_id] += 1
        return 503 if len(tried) % 2 and tried[event.resource_id] == 1 else 204

    with Receiver(answer=answer) as receiver:
        thresholds = {"count": THRESHOLD, "percent": 10, "settle_seconds": settle_seconds}
        connect(hubs[0], receiver, brake=thresholds)
        try:
            with hubs[0].client() as client:
                ids = [client.post("/Users", json=user(f"u{number}")).json()["id"] for number in range(PEOPLE)]
            with ThreadPoolExecutor(1) as pool:
                leaving = pool.submit(_remove, hubs, ids[:LEAVERS])
                while not leaving.done():
                    fault(hubs, durable_server)
                leaving.result()
            wait_until(lambda: len(tried) + _kept(hubs[0]) >= LEAVERS, "a decision on all who left")
        finally:
            codes = [hub.stop() for hub in hubs]
        assert codes == [0, 0]
        assert len(tried) < THRESHOLD
    asyncio.run(durable_server.drop_database(url))


def _remove(hubs: list[LiveHub], ids: list[str]) -> None:
    """Each of them, at a pace at which nodes take turns meanwhile, by whichever node answers."""
    with Balancer(hubs) as client:
        for id in ids:
            is_gone = False
            while not is_gone:
                with suppress(httpx.HTTPError):
                    is_gone = client.request("DELETE", f"/Users/{id}", json=None).status_code in (204, 404)
            time.sleep(0.1)


def _kept(hub: LiveHub) -> int:
    """How many removals the brake keeps once it has tripped."""
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    status = httpx.get(f"{hub.url}/admin/v1/directories/default/destinations/all", headers=headers).json()["status"]
    return int(status["brake_held"]) if status["brake_is_tripped"] else 0
