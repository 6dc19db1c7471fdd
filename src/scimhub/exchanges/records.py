"""One HTTP request from a source and our answer, as it is kept for debugging (DECISIONS 24).

``Received`` is what the web layer hands over, as it came; ``redaction`` makes an ``Exchange`` of it before anything is
written. Times are RFC 3339 texts as in ``directory.records``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from scimhub.scim.catalog import Catalog

# What of an exchange's content is kept: see docs/debugging.md.
Content = Literal["full", "masked", "none", "off"]
# Names and values, as they are kept.
Headers = tuple[tuple[str, str], ...]
# The longest body that is kept, in bytes.
DEFAULT_BODY_LIMIT = 16 * 1024


class Received(NamedTuple):
    """A request and its answer as they were on the wire, for the recorder only: nothing of it is redacted yet.

    It is made once for each recorded request on the event loop, so it is a tuple, holds references and copies nothing. Only
    of the headers it has what is kept (``redaction.show_headers``): what waits for the recorder should be little.
    ``request_size`` and ``answer_size`` are in bytes; the bodies themselves may be cut already. With ``lacks_document`` the
    answer shows a resource and comes without the document, which the change has; then no secret may stand in the request.
    """

    id: str
    time: str
    directory: str
    source: str
    method: str
    path: str
    status: int
    duration_us: int
    rewrites: Sequence[str] = ()
    dropped: Sequence[str] = ()
    resource_kind: str = ""
    resource_id: str = ""
    change_ids: Sequence[str] = ()
    detail: str = ""
    query: bytes = b""
    headers: Headers = ()
    request: bytes = b""
    request_size: int = 0
    answer: bytes = b""
    answer_size: int = 0
    lacks_document: bool = False
    # Tells which attributes are never returned; None when no valid token told the directory.
    catalog: Catalog | None = None


class Body(NamedTuple):
    """A body as it is kept: redacted JSON text, perhaps only its beginning.

    ``text`` is None when there was a body of ``size`` bytes that is not kept; without a body the size is 0. ``rest`` says
    that a resource's document is missing, which the change has, and how it may be shown; ``completion`` puts it in.
    """

    text: str | None = None
    size: int = 0
    is_cut: bool = False
    rest: Literal["", "full", "masked"] = ""


NO_BODY = Body()


class Exchange(NamedTuple):
    """What is kept of a request and its answer, redacted.

    ``directory`` and ``source`` are names, empty when no valid token told them. ``rewrites`` are names of dialect rules,
    ``dropped`` the paths of what was not kept. ``detail`` is the error's text, empty when there was none. ``query`` is
    decoded; ``headers`` are those that matter to SCIM, never a credential. A tuple, because it is made for each write and a
    frozen dataclass of so many fields takes four times as long.
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
    query: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    request: Body = NO_BODY
    answer: Body = NO_BODY


@dataclass(frozen=True, slots=True)
class Search:
    """Which exchanges are looked for; what is None does not matter.

    ``directory`` and ``source`` are names, ``since`` and ``until`` times, ``resource`` an id. ``text`` is looked for in
    path, query, detail and bodies, whatever its case.
    """

    directory: str | None = None
    source: str | None = None
    status: int | None = None
    errors_only: bool = False
    method: str | None = None
    kind: str | None = None
    resource: str | None = None
    since: str | None = None
    until: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The newest exchanges that fit, newest first.

    ``searched_to`` is the time of the oldest exchange that was looked at when the search stopped at its bound before it
    had found enough; None when nothing was left out.
    """

    exchanges: Sequence[Exchange]
    searched_to: str | None = None
