"""The rows of attempts to deliver, beside those of the exchanges: a record for debugging, like them."""

from scimhub.distribution.delivery import Attempt
from scimhub.sqlstore import exchange_rows
from scimhub.sqlstore.connection import SqlValue
from scimhub.sqlstore.exchange_rows import Terms, Values

COLUMNS = (
    "time, directory, destination, delivery_id, change_id, resource_id, first_position, position, attempt, outcome, status, "
    "duration_us, detail, excerpt"
)


def values_of(attempt: Attempt) -> Values:
    """A row of COLUMNS."""
    return attempt  # its fields are in that order


def terms_of(
    directory: str | None,
    destination: str | None,
    resource_id: str | None,
    positions: tuple[int, int] | None,
    failed_only: bool,
) -> Terms:
    """What is looked for; see ``distribution.ports.AttemptLog``."""
    first, last = positions or (None, None)
    wishes: tuple[tuple[str, SqlValue], ...] = (
        ("resource_id = ?", resource_id),
        ("position >= ?", first),
        ("first_position <= ?", last),
        ("directory = ?", directory),
        ("destination = ?", destination),
        ("outcome <> ?", "delivered" if failed_only else None),
    )
    return exchange_rows.terms_of(wishes, resource_id)
