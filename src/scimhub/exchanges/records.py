"""One HTTP request from a source and our answer, as it is kept for debugging (DECISIONS 24)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is kept of a request. No body and no query string: they hold names and addresses of people.

    ``directory`` and ``source`` are names, empty when no valid token told them. ``rewrites`` are names of dialect rules,
    ``dropped`` the paths of what was not kept. ``detail`` is the error's text, empty when there was none.
    """

    id: str
    time: str
    directory: str
    source: str
    method: str
    path: str
    status: int
    duration_us: int
    rewrites: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    resource_kind: str = ""
    resource_id: str = ""
    change_ids: tuple[str, ...] = ()
    detail: str = ""
