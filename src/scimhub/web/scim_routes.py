"""The paths of the SCIM protocol, below ``/scim/{directory}/v2`` (RFC 7644 §3.2)."""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Place = Literal[
    "root", "root_search", "bulk", "me", "discovery", "discovery_one", "openapi", "collection", "search", "resource", "unknown"
]

_VERSION = re.compile(r"v[0-9]+")
# The plural is what old clients ask for (E4978).
_DISCOVERY = {
    "Schemas": "Schemas",
    "ResourceTypes": "ResourceTypes",
    "ServiceProviderConfig": "ServiceProviderConfig",
    "ServiceProviderConfigs": "ServiceProviderConfig",
}


class Route(NamedTuple):
    """Where a path leads. ``endpoint`` is a collection such as ``/Users``, or the name of a discovery document."""

    place: Place
    directory: str
    endpoint: str = ""
    id: str = ""
    version: str = "v2"


# What stands between the version and a last part that is no resource's id.
_NO_COLLECTIONS = frozenset({"", "Me", *_DISCOVERY})
_LONGEST_REMEMBERED = 200


def find_route(path: str) -> Route:
    """The route of a decoded path that begins with ``/scim/``; a slash too many is forgiven."""
    parts = path.split("/")
    if len(parts) == 6:
        # By far the most frequent case, and one that no cache would help: one resource.
        _, _, directory, version, first, last = parts
        if version == "v2" and directory and last and first not in _NO_COLLECTIONS and last != ".search" and "\0" not in last:
            return Route("resource", directory, f"/{first}", last)
        return _read_path(path)
    return _recall_path(path) if len(path) <= _LONGEST_REMEMBERED else _read_path(path)


def _read_path(path: str) -> Route:
    directory, *rest = [part for part in path[len("/scim/") :].split("/") if part] or [""]
    # No id holds U+0000, and a database would refuse to look for one that does.
    if not rest or not _VERSION.fullmatch(rest[0]) or "\0" in path:
        return Route("unknown", directory)
    version, *parts = rest
    if len(parts) == 0:
        return Route("root", directory, version=version)
    first = parts[0]
    if first in _DISCOVERY:
        return _discovery_route(directory, version, _DISCOVERY[first], parts[1:])
    if len(parts) == 1:
        return _single_route(directory, version, first)
    if first == "Me":
        return Route("me", directory, version=version)
    if len(parts) > 2:
        return Route("unknown", directory, version=version)
    if parts[1] == ".search":
        return Route("search", directory, f"/{first}", version=version)
    return Route("resource", directory, f"/{first}", parts[1], version)


_recall_path = lru_cache(maxsize=256)(_read_path)


def _single_route(directory: str, version: str, name: str) -> Route:
    match name:
        case ".search":
            return Route("root_search", directory, version=version)
        case "Bulk":
            return Route("bulk", directory, version=version)
        case "Me":
            return Route("me", directory, version=version)
        case "openapi.json":
            return Route("openapi", directory, version=version)
        case _:
            return Route("collection", directory, f"/{name}", version=version)


def _discovery_route(directory: str, version: str, name: str, tail: list[str]) -> Route:
    if not tail:
        return Route("discovery", directory, name, version=version)
    if len(tail) == 1 and name != "ServiceProviderConfig":
        return Route("discovery_one", directory, name, tail[0], version)
    return Route("unknown", directory, version=version)
