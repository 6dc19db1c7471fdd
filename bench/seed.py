"""Filling the hub before it is measured, over HTTP like everybody else."""

import http.client
import json
from collections.abc import Iterator, Sequence

from bench import requests
from bench.load import Traffic
from bench.rounds import Loader
from bench.scenarios import Population
from bench.servers import TOKEN, Server

_PAGE = 1000


def make_users(loader: Loader, hub: Server, size: int, word: str) -> Population:
    """That many users, whose names begin with the word."""
    names = [f"{word}{number:06d}" for number in range(size)]
    for first in range(0, size, 10_000):  # so that not all bodies are in memory at once
        loader.send(hub, Traffic([requests.create_user(name) for name in names[first : first + 10_000]], 201))
    ids = dict(_names_and_ids(hub))
    return Population(names, [ids[f"{name}@tidewater.example"] for name in names])


def make_group(loader: Loader, hub: Server, name: str, members: Sequence[str]) -> str:
    """A group with these members; its id."""
    loader.send(hub, Traffic([requests.create_group(name, members)], 201), connections=1)
    found = _get(
        hub,
        requests.find("displayName", name).split(b" ")[1].decode().replace("/Users?", "/Groups?excludedAttributes=members&"),
    )
    groups = found["Resources"]
    assert isinstance(groups, list)
    return str(groups[0]["id"])


def _names_and_ids(hub: Server) -> Iterator[tuple[str, str]]:
    cursor = ""
    while True:
        page = _get(hub, f"{requests.ROOT}/Users?attributes=userName&count={_PAGE}&cursor={cursor}")
        resources, following = page["Resources"], page.get("nextCursor")
        assert isinstance(resources, list)
        yield from ((resource["userName"], resource["id"]) for resource in resources)
        if not isinstance(following, str):
            return
        cursor = following


def _get(hub: Server, path: str) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"GET {path} gave {answer.status}: {body[:500]!r}")
        document = json.loads(body)
        assert isinstance(document, dict)
        return document
    finally:
        connection.close()
