"""Several hubs on one machine and one PostgreSQL: in one folder, and as workers on one socket."""

import asyncio
import itertools
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.live import TOKEN, LiveHub, scim_headers, user, wait_until
from tests.end_to_end.test_operating import scimhub
from tests.servers.postgres import Server

StartHub = Callable[..., LiveHub]


@pytest.fixture
def url(postgres_server: Server) -> Iterator[str]:
    """An empty database, gone when the hubs on it have ended."""
    made = asyncio.run(postgres_server.create_database())
    yield made
    asyncio.run(postgres_server.drop_database(made))


def logged(hub: LiveHub) -> list[dict[str, Any]]:
    """The lines of its log."""
    return [json.loads(line) for line in hub.log.splitlines() if line.startswith("{")]


def told_of_the_hub(folder: Path, url: str) -> list[tuple[str, str]]:
    """What ``doctor`` says of the hub whose files are in the folder."""
    told = json.loads(scimhub(folder, "doctor", "--json", database=url, data=str(folder)).stdout)
    return [(one["verdict"], one["sentence"]) for one in told if one["subject"] == "hub"]


@pytest.mark.ci  # several starts of a hub
def test_a_local_socket_at_which_a_hub_answers_is_left_to_it(url: str, tmp_path: Path, start_hub: StartHub):
    first = start_hub(database=url, data=str(tmp_path))
    inode = (tmp_path / "scimhub.sock").stat().st_ino
    second = start_hub(database=url, data=str(tmp_path))
    [told] = [line for line in logged(second) if line["message"].startswith("another hub answers at the local socket")]
    assert (told["level"], "SCIMHUB_DATA" in told["message"]) == ("warning", True)
    [(verdict, sentence), *_] = told_of_the_hub(tmp_path, url)
    assert (verdict, f"it is reached at {first.url}" in sentence) == ("OK", True)
    assert second.stop() == 0
    assert (tmp_path / "scimhub.sock").stat().st_ino == inode
    assert told_of_the_hub(tmp_path, url)[0][0] == "OK"
    assert first.stop() == 0
    assert not (tmp_path / "scimhub.sock").exists()


@pytest.mark.ci  # several starts of a hub
def test_a_local_socket_at_which_nobody_answers_is_taken_over(url: str, tmp_path: Path, start_hub: StartHub):
    first = start_hub(database=url, data=str(tmp_path))
    first.kill()
    assert (tmp_path / "scimhub.sock").is_socket()
    [(verdict, sentence)] = told_of_the_hub(tmp_path, url)
    assert (verdict, "it is left over" in sentence, "knows 1 node, seen" in sentence) == ("WARN", True, True)
    second = start_hub(database=url, data=str(tmp_path))
    assert f"it is reached at {second.url}" in told_of_the_hub(tmp_path, url)[0][1]
    assert second.stop() == 0
    assert not (tmp_path / "scimhub.sock").exists()


@pytest.mark.ci  # several starts of a hub
def test_where_others_serve_the_doctor_says_that_no_hub_answers_here(url: str, tmp_path: Path, start_hub: StartHub):
    hubs = [start_hub(database=url, data=str(tmp_path / f"data{number}")) for number in range(2)]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    [(verdict, sentence)] = told_of_the_hub(elsewhere, url)
    assert (verdict, sentence.startswith("No hub answers on this machine at ")) == ("OK", True)
    assert "The database knows 2 nodes, seen within the last minute." in sentence
    assert [hub.stop() for hub in hubs] == [0, 0]
    [(verdict, sentence)] = told_of_the_hub(elsewhere, url)
    assert (verdict, "The hub does not run, and nothing is delivered" in sentence) == ("OK", True)


def processes(hub: LiveHub, what: str = "Started") -> list[int]:
    """The workers that began to serve so far, or those that ended in order."""
    found = [re.fullmatch(rf"{what} server process \[(\d+)\]", line["message"]) for line in logged(hub)]
    return [int(each[1]) for each in found if each is not None]


def wait_for_workers(hub: LiveHub, count: int) -> None:
    """Until so many in all have been answering requests."""
    wait_until(lambda: sum(line["message"] == "listening" for line in logged(hub)) == count, f"{count} workers answering")


@contextmanager
def asking_without_end(hub: LiveHub) -> Iterator[list[int]]:
    """Clients that write and read, each time by a new connection; what was answered until now."""
    answered: list[int] = []
    over = threading.Event()

    def ask(client: int) -> None:
        for turn in itertools.count():
            made = httpx.post(
                f"{hub.scim_url}/Users", json=user(f"u{client}-{turn}"), headers=scim_headers(TOKEN), timeout=10, verify=False
            )
            read = httpx.get(f"{hub.scim_url}/Users/{made.json()['id']}", headers=scim_headers(TOKEN), timeout=10, verify=False)
            answered.extend((made.status_code, read.status_code))
            if over.is_set():
                return

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask, client) for client in range(2)]
        try:
            yield answered
        finally:
            over.set()
        for each in asking:
            each.result()


@pytest.mark.ci  # five workers begin, one after the other
def test_workers_answer_are_begun_anew_when_killed_and_renewed_without_a_refusal(url: str, tmp_path: Path, start_hub: StartHub):
    hub = start_hub("--workers", "2", database=url, data=str(tmp_path))
    assert hub.process is not None
    wait_for_workers(hub, 2)
    first = processes(hub)
    local = httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "scimhub.sock")), base_url="http://hub/admin/v1")

    def is_answered() -> bool:
        with suppress(httpx.TimeoutException):
            return httpx.get(f"{hub.scim_url}/Users", headers=scim_headers(TOKEN), timeout=2, verify=False).status_code == 200
        return False

    for silent in first:
        os.kill(silent, signal.SIGSTOP)
        wait_until(is_answered, "an answer by the other worker")
        os.kill(silent, signal.SIGCONT)

    os.kill(first[0], signal.SIGKILL)
    wait_for_workers(hub, 3)
    assert [line["exit_code"] for line in logged(hub) if line["message"] == "worker died"] == [-signal.SIGKILL]
    assert local.get("/status").status_code == 200

    second = processes(hub)[1:]
    with asking_without_end(hub) as answered:
        hub.process.send_signal(signal.SIGHUP)
        wait_for_workers(hub, 5)
        wait_until(lambda: set(processes(hub, "Finished")) == set(second), "the end of those before")
        after = len(answered)
        wait_until(lambda: len(answered) > after + 20, "answers by the new ones")
    assert set(answered) == {200, 201}
    assert local.get("/status").status_code == 200
    local.close()

    assert hub.stop() == 0
    assert set(processes(hub, "Finished")) == set(processes(hub)[1:])
    assert not (tmp_path / "scimhub.sock").exists()


@pytest.mark.ci  # two workers begin
def test_workers_end_with_the_process_that_looks_after_them(url: str, tmp_path: Path, start_hub: StartHub):
    hub = start_hub("--workers", "2", database=url, data=str(tmp_path))
    assert hub.process is not None
    wait_for_workers(hub, 2)
    hub.process.kill()
    hub.process.wait()

    def is_gone() -> bool:
        try:
            httpx.get(f"{hub.url}/healthz", timeout=2, verify=False)
        except httpx.ConnectError:
            return True
        except httpx.HTTPError:
            pass
        return False

    wait_until(is_gone, "the port's being free")
