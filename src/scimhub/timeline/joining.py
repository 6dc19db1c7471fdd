"""Joins what was sent, what changed and what arrived to one timeline, the oldest entry first."""

from collections.abc import Iterator, Mapping, Sequence

from scimhub.directory.records import Change
from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Exchange
from scimhub.scim.catalog import Catalog
from scimhub.timeline.arrivals import Standing, arrivals_of
from scimhub.timeline.differences import differences_of, is_purged
from scimhub.timeline.records import Arrival, Changed, Entry, Sent


def join(
    exchanges: Sequence[Exchange],
    changes: Sequence[Change],
    standings: Sequence[Standing],
    attempts: Mapping[str, Sequence[Attempt]],
    sources: Mapping[int, str],
    catalog: Catalog,
    purged: int,
) -> Sequence[Entry]:
    """The entries in order. ``attempts`` are by resource id; ``purged`` is the position up to which content was blanked.

    At one time a request comes before its changes, and a change before its arrivals. What no attempt tells of stands
    directly behind its change.
    """
    entries: list[tuple[tuple[str, int, int], Entry]] = [
        ((exchange.time, 0, 0), Sent(exchange.time, exchange)) for exchange in exchanges
    ]
    for change in changes:
        source = None if change.source is None else sources.get(change.source)
        changed = Changed(change.time, change, source, differences_of(change), is_purged(change))
        entries.append(((change.time, 1, 2 * change.position), changed))
        arrived = arrivals_of(change, standings, attempts.get(change.resource_id, ()), catalog, purged)
        entries += [(_rank(arrival), arrival) for arrival in arrived]
    return [entry for _, entry in sorted(_once(entries), key=lambda ranked: ranked[0])]


def _rank(arrival: Arrival) -> tuple[str, int, int]:
    return (arrival.time, 1 if arrival.attempt is None else 2, 2 * arrival.position + 1)


def _once(entries: Sequence[tuple[tuple[str, int, int], Entry]]) -> Iterator[tuple[tuple[str, int, int], Entry]]:
    """An attempt that carried a run of changes is one entry, of the last of them."""
    last: dict[tuple[str, str, str, int], int] = {}
    for _, entry in entries:
        if isinstance(entry, Arrival) and entry.attempt is not None:
            last[_key(entry)] = max(entry.position, last.get(_key(entry), 0))
    for ranked in entries:
        entry = ranked[1]
        if not isinstance(entry, Arrival) or entry.attempt is None or last[_key(entry)] == entry.position:
            yield ranked


def _key(arrival: Arrival) -> tuple[str, str, str, int]:
    attempt = arrival.attempt
    assert attempt is not None  # noqa: S101 - the callers look first
    return (arrival.destination, attempt.delivery_id, attempt.time, attempt.number)
