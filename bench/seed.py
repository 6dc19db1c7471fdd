"""Filling a server before it is measured: the hub by its own commands, the other product by one request each."""

import http.client
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count

import orjson

from bench import requests, servers
from bench.load import Traffic
from bench.rounds import Loader
from bench.scenarios import Population
from bench.servers import TOKEN, Place, Server


@dataclass(frozen=True, slots=True)
class Filling:
    """What a server then holds: people, others who are in no group, and ids of groups by size; and the seconds it took."""

    people: Population
    strangers: Population
    groups: dict[int, str]
    seconds: float

    @property
    def size(self) -> int:
        """How many resources these are."""
        return len(self.people.ids) + len(self.strangers.ids) + len(self.groups)


def fill_hub(place: Place, people: int, strangers: int = 0, groups: Sequence[int] = ()) -> Filling:
    """``scimhub import`` into the hub that runs at the place; the first of the people are members of the groups."""
    numbers = count(1)
    some, others = _named("person", people, numbers), _named("stranger", strangers, numbers)
    teams = {size: _id(next(numbers)) for size in groups}
    file = place.folder / "filling.ndjson"
    with file.open("wb") as lines:
        for who in (some, others):
            for name, id in zip(who.names, who.ids, strict=True):
                lines.write(orjson.dumps({**requests.user(name), "id": id}) + b"\n")
        for size, id in teams.items():
            lines.write(orjson.dumps({**requests.group(f"Group of {size}", some.ids[:size]), "id": id}) + b"\n")
    start = time.perf_counter()
    _command(place, "import", "--keep-ids", "--mode", "create", "--json", str(file))
    file.unlink()
    return Filling(some, others, teams, time.perf_counter() - start)


def copy(filled: Place, place: Place) -> float:
    """Bring what the filled SQLite hub has to the empty place; the seconds it took. No hub may run at either."""
    start = time.perf_counter()
    if place.url is None:
        shutil.copytree(filled.folder, place.folder, dirs_exist_ok=True)
    else:
        _command(filled, "copy-database", str(filled.folder / "scimhub.db"), place.url)
    return time.perf_counter() - start


def _command(place: Place, *words: str) -> None:
    """Run the command to its end, and raise RuntimeError if it fails."""
    environment = servers.surroundings(place)
    command = [sys.executable, "-m", "scimhub", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise RuntimeError(f"scimhub {words[0]} failed: {done.stderr[-2000:]}{done.stdout[-2000:]}")


def fill_peer(server: Server, people: int, strangers: int = 0, groups: Sequence[int] = ()) -> Filling:
    """The same over HTTP, one request after the other; the server gives the ids."""
    start = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        made = []
        for word, size in (("person", people), ("stranger", strangers)):
            names = [_name(word, number) for number in range(size)]
            made.append(Population(names, [_create(connection, "/Users", requests.user(name)) for name in names]))
        some, others = made
        teams = {size: _create(connection, "/Groups", requests.group(f"Group of {size}", some.ids[:size])) for size in groups}
    return Filling(some, others, teams, time.perf_counter() - start)


def make_group(loader: Loader, hub: Server, name: str) -> str:
    """An empty group; its id."""
    loader.send(hub, Traffic([requests.request("POST", "/Groups", requests.group(name, ()))], 201), 1)
    path = requests.find("displayName", name).split(b" ")[1].decode().replace("/Users?", "/Groups?")
    with closing(http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)) as connection:
        found = _ask(connection, "GET", path)["Resources"]
    assert isinstance(found, list)
    return str(found[0]["id"])


def _named(word: str, size: int, numbers: Iterator[int]) -> Population:
    return Population([_name(word, number) for number in range(size)], [_id(next(numbers)) for _ in range(size)])


def _name(word: str, number: int) -> str:
    return f"{word}{number:07d}"


def _id(number: int) -> str:
    """Ids rise with time, as those do that the hub gives."""
    return f"01930000-0000-7000-8000-{number:012x}"


def _create(connection: http.client.HTTPConnection, path: str, document: object) -> str:
    return str(_ask(connection, "POST", f"{requests.ROOT}{path}", document)["id"])


def _ask(connection: http.client.HTTPConnection, method: str, path: str, document: object = None) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/scim+json"}
    connection.request(method, path, None if document is None else json.dumps(document), headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path} gave {answer.status}: {body[:500]!r}")
    told = json.loads(body)
    assert isinstance(told, dict)
    return told
