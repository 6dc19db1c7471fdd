"""Makes of what was received what is kept of it, by the setting ``exchange_content``. docs/debugging.md has the rules.

It runs on the thread that writes exchanges, never on the event loop. In every mode it strikes out secrets (``secrets``);
``masked`` replaces personal values too (``masking``); ``none`` keeps neither headers, query nor bodies, and masks the rest.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl

import orjson

from scimhub.exchanges import masking, secrets
from scimhub.exchanges.cutting import Beginning, parse_beginning
from scimhub.exchanges.records import DEFAULT_BODY_LIMIT, NO_BODY, Body, Content, Exchange, Headers, Received
from scimhub.exchanges.secrets import STRUCK, Strike
from scimhub.scim.catalog import Catalog

# Headers that help to understand a request; whatever is not named here, a credential above all, is never looked at.
_HEADERS = (b"content-type", b"user-agent", b"accept", b"if-match", b"if-none-match")
_LONGEST_HEADER = 200
_LONGEST_PATH = 500
_LONGEST_QUERY = 4000
_LONGEST_DETAIL = 1000
# /scim/{directory}/v2/{endpoint}: behind it come ids.
_NAMES_IN_URL = 4


def redact(received: Received, content: Content = "full", body_limit: int = DEFAULT_BODY_LIMIT) -> Exchange:
    """What is kept of the exchange. Bodies of more than ``body_limit`` bytes are cut to their beginning."""
    keeps_content = content in ("full", "masked")
    redaction = _Redaction(received, content == "full", body_limit)
    path, query = redaction.path(), redaction.query()
    request = redaction.request(keeps_content)
    answer = redaction.answer() if keeps_content else _not_kept(received.answer_size)
    is_full = content == "full"
    return Exchange(
        id=received.id,
        time=received.time,
        directory=received.directory,
        source=received.source,
        method=received.method[:20],
        path=path,
        status=received.status,
        duration_us=received.duration_us,
        rewrites=tuple(received.rewrites),
        dropped=tuple(received.dropped) if is_full else tuple(masking.of_name(name) for name in received.dropped),
        resource_kind=received.resource_kind,
        resource_id=received.resource_id if is_full else masking.of_id(received.resource_id),
        change_ids=tuple(received.change_ids),
        detail=redaction.detail(),
        query=query if keeps_content else "",
        headers=dict(received.headers) if keeps_content else {},
        request=request if keeps_content else _not_kept(received.request_size),
        answer=answer,
    )


def keeps_all(some: Sequence[Received], body_limit: int = DEFAULT_BODY_LIMIT) -> list[bool]:
    """Of each exchange whether nothing has to be struck out, cut or looked into where ``full`` content is kept, as of most.

    Their texts are looked through as one, which costs a short one a quarter.
    """
    whole = [_is_whole(received, body_limit) for received in some]
    if _may_hold_secrets([received for received, is_whole in zip(some, whole, strict=True) if is_whole]):
        return [is_whole and not _may_hold_secrets((each,)) for each, is_whole in zip(some, whole, strict=True)]
    return whole


def _is_whole(received: Received, body_limit: int) -> bool:
    """Whether it succeeded, has no texts beside its bodies, and is not too long."""
    if received.status >= 400 or received.detail or received.query or len(received.path) > _LONGEST_PATH:
        return False
    return received.request_size <= body_limit and received.answer_size <= body_limit and "scimhub_" not in received.path


def _may_hold_secrets(some: Sequence[Received]) -> bool:
    """Whether a secret may stand in one of the bodies."""
    catalogs = {received.catalog for received in some}
    return any(_may_hold_secrets_of(catalog, [each for each in some if each.catalog == catalog]) for catalog in catalogs)


def _may_hold_secrets_of(catalog: Catalog | None, some: Sequence[Received]) -> bool:
    names = secrets.names_of(catalog)
    requests = b"\n".join([received.request for received in some if not received.lacks_document])
    return names.may_stand_in(requests) or names.may_stand_in_answer(b"\n".join([received.answer for received in some]))


def bare(received: Received) -> Exchange:
    """What can be kept without looking into the exchange: for one whose redaction failed."""
    return Exchange(
        id=received.id,
        time=received.time,
        directory=received.directory,
        source=received.source,
        method=received.method[:20],
        path=masking.MASK,
        status=received.status,
        duration_us=received.duration_us,
        change_ids=tuple(received.change_ids),
        request=_not_kept(received.request_size),
        answer=_not_kept(received.answer_size),
    )


class _Redaction:
    """The redaction of one exchange: what the request told to be secret is struck out of what came after it."""

    def __init__(self, received: Received, is_full: bool, body_limit: int) -> None:
        self._received = received
        self._is_full = is_full
        self._limit = body_limit
        self._strike = Strike(secrets.names_of(received.catalog))
        # What was masked and may be quoted by the detail; only a failure has one.
        self._sent: list[str] = []

    def path(self) -> str:
        path = self._received.path
        if not self._is_full:
            masked = masking.of_url_path(path, names=_NAMES_IN_URL)
            if self._received.detail:
                self._sent += [part for part in path.split("/") if part not in masked.split("/")]
            path = masked
        return secrets.without_tokens(path)[:_LONGEST_PATH]

    def query(self) -> str:
        if not self._received.query:
            return ""
        try:
            pairs = parse_qsl(self._received.query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            return masking.MASK
        shown = []
        for name, value in pairs:
            if self._strike.names.has(name):
                shown.append((name if self._is_full else masking.of_name(name), STRUCK))
                self._strike.values.append(value)
                continue
            struck = self._strike.from_filter(value)
            if not self._is_full:
                masked = masking.of_document(struck, name.lower())
                self._sent += masking.masked_texts(value, name.lower())
                name, struck = masking.of_name(name), str(masked)
            shown.append((name, struck))
        return self._strike.from_written("&".join(f"{name}={value}" for name, value in shown))[:_LONGEST_QUERY]

    def request(self, is_kept: bool) -> Body:
        received = self._received
        if not received.request_size or not (is_kept or received.detail):
            return NO_BODY
        # What succeeded was valid JSON; what failed may be anything.
        return self._body(received.request, received.request_size, is_valid=received.status < 400, is_request=True)

    def answer(self) -> Body:
        received = self._received
        if not received.answer_size:
            return NO_BODY
        if received.lacks_document:
            frame = self._body(received.answer, len(received.answer), is_valid=True, is_request=False)
            return Body(frame.text, received.answer_size, rest="full" if self._is_full else "masked")
        return self._body(received.answer, received.answer_size, is_valid=True, is_request=False)

    def detail(self) -> str:
        if not self._received.detail:
            return ""
        struck = self._strike.from_text(self._received.detail)
        return (struck if self._is_full else masking.of_sentence(struck, self._sent))[:_LONGEST_DETAIL]

    def _body(self, whole: bytes, size: int, *, is_valid: bool, is_request: bool) -> Body:
        is_cut = size > self._limit
        raw = whole[: self._limit] if is_cut else whole
        if self._is_full and is_valid and not (self._strike.values and not is_request):
            # Of operations the whole is looked through: a torn one may have lost the path that tells its value to be secret.
            has_operations = is_request and (self._received.method == "PATCH" or self._received.resource_kind == "")
            looked_at = whole if is_cut and has_operations else raw
            is_all_there = not has_operations or len(whole) == size
            if is_all_there and not self._strike.names.may_stand_in(looked_at):
                return Body(raw.decode("utf-8", "ignore"), size, is_cut)
        value, is_cut, found = _parse(raw, is_cut)
        if not found:
            return _not_kept(size)
        struck = self._strike.from_document(value)
        if not is_request and self._strike.values:
            struck = self._strike.from_shown(struck)
        if not self._is_full:
            if is_request and self._received.detail:
                self._sent += masking.masked_texts(value)
            struck = masking.of_document(struck)
        return Body(secrets.without_tokens(orjson.dumps(struck).decode()), size, is_cut)


def _parse(raw: bytes, is_cut: bool) -> tuple[object, bool, bool]:
    """The JSON value, whether it is only its beginning, and whether there is one."""
    if not is_cut:
        try:
            return orjson.loads(raw), False, True
        except orjson.JSONDecodeError:
            pass
    beginning = parse_beginning(raw)
    if beginning is None:
        return None, True, False
    _hide_unfinished(beginning)
    return beginning.value, True, True


def _hide_unfinished(beginning: Beginning) -> None:
    """Hide the value of an operation that was torn before its path came: it may be a password."""
    value = beginning.value
    for _ in range(beginning.depth):
        if isinstance(value, dict):
            if secrets.path_of(value) is None:
                value.update({name: STRUCK for name, item in value.items() if _may_be_secret(name, item)})
            value = next(reversed(value.values()), None)
        elif isinstance(value, list):
            value = value[-1] if value else None


def _may_be_secret(name: str, value: object) -> bool:
    return name.lower() == "value" and not isinstance(value, dict)


def show_headers(headers: Mapping[bytes, bytes]) -> Headers:
    """Those of the headers that are kept, as they are kept."""
    return _show(tuple(map(headers.get, _HEADERS)))


# A source sends the same ones again and again.
@lru_cache(maxsize=256)
def _show(values: tuple[bytes | None, ...]) -> Headers:
    found = [(name, value) for name, value in zip(_HEADERS, values, strict=True) if value is not None]
    return tuple((name.decode(), secrets.without_tokens(value.decode("latin-1")[:_LONGEST_HEADER])) for name, value in found)


def _not_kept(size: int) -> Body:
    return Body(None, size) if size else NO_BODY
