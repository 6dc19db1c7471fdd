"""The rows of attempts to deliver, in the file of the exchanges: a record for debugging, like them."""

from collections.abc import Sequence

from scimhub.distribution.delivery import Attempt
from scimhub.sqlstore import exchange_rows
from scimhub.sqlstore.connection import SqlValue
from scimhub.sqlstore.sqlite.driver import SqliteConnection

CREATE = """
CREATE TABLE IF NOT EXISTS attempts (
    number         INTEGER PRIMARY KEY,
    time           TEXT NOT NULL,
    directory      TEXT NOT NULL,
    destination    TEXT NOT NULL,
    delivery_id    TEXT NOT NULL,
    change_id      TEXT NOT NULL,
    resource_id    TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    outcome        TEXT NOT NULL,
    status         INTEGER,
    duration_us    INTEGER NOT NULL,
    detail         TEXT NOT NULL,
    excerpt        TEXT NOT NULL,
    key_id         TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS attempts_by_resource ON attempts (number >> 14, resource_id)"""

COLUMNS = (
    "time, directory, destination, delivery_id, change_id, resource_id, first_position, position, attempt, outcome, status, "
    "duration_us, detail, excerpt"
)


def values_of(attempt: Attempt) -> tuple[SqlValue, ...]:
    """A row of COLUMNS."""
    return (
        attempt.time,
        attempt.directory,
        attempt.destination,
        attempt.delivery_id,
        attempt.change_id,
        attempt.resource_id,
        attempt.first_position,
        attempt.position,
        attempt.number,
        attempt.outcome,
        attempt.status,
        attempt.duration_us,
        attempt.detail,
        attempt.excerpt,
    )


def search(
    connection: SqliteConnection,
    directory: str | None,
    destination: str | None,
    resource_id: str | None,
    positions: tuple[int, int] | None,
    failed_only: bool,
    limit: int,
) -> Sequence[Attempt]:
    """The newest attempts that fit, newest first; see ``distribution.ports.AttemptLog``."""
    first, last = positions or (None, None)
    wishes: tuple[tuple[str, SqlValue], ...] = (
        ("resource_id = ?", resource_id),
        ("position >= ?", first),
        ("first_position <= ?", last),
        ("directory = ?", directory),
        ("destination = ?", destination),
        ("outcome <> ?", "delivered" if failed_only else None),
    )
    kept = [(term, value) for term, value in wishes if value is not None]
    where = " AND ".join(("TRUE", *(term for term, _ in kept)))
    searched = "attempts" if resource_id is None else exchange_rows.in_parts("attempts")
    sql = f"SELECT {COLUMNS} FROM {searched} WHERE {where} ORDER BY number DESC LIMIT ?"
    rows = connection.fetch(sql, (*(value for _, value in kept), limit))
    return [Attempt(*row) for row in rows]
