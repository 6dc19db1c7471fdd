"""PostgreSQL itself: a connection for units of work, and what the driver's faults mean.

The driver waits, units of work do not. A unit therefore runs in a greenlet: where it asks the database, the greenlet steps
aside, the event loop does the waiting, and the unit goes on with the answer. So one and the same code serves both databases.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import asyncpg
import greenlet

from scimhub.directory.errors import StoreUnavailable
from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.dialect import Dialect
from scimhub.sqlstore.postgres.dialect import POSTGRES
from scimhub.sqlstore.postgres.translation import translate
from scimhub.sqlstore.text_index import GONE

T = TypeVar("T")


async def carry_out(work: Callable[["PostgresConnection"], T], connection: "PostgresConnection") -> T:
    """What the work returns; it may ask the connection without waiting itself."""
    runner = greenlet.greenlet(work)
    step = runner.switch(connection)
    while not runner.dead:
        try:
            answer = await step
        except BaseException as error:
            step = runner.throw(error)
        else:
            step = runner.switch(answer)
    result: T = step
    return result


def _wait(awaitable: Awaitable[Any]) -> Any:
    """The answer that the event loop waits for while this greenlet stands aside."""
    return greenlet.getcurrent().parent.switch(awaitable)


class PostgresConnection:
    """One of ``sqlstore.connection``, over a connection of the driver. ``keys`` gives those of new resources."""

    dialect: Dialect = POSTGRES

    def __init__(self, raw: Any) -> None:
        # The driver's own, or what its pool lends in its place.
        self.raw = raw
        # Of the transaction that runs; see ``batches``.
        self.written = 0
        self.is_spoilt = False

    def _ask(self, awaitable: Awaitable[Any]) -> Any:
        try:
            return _wait(awaitable)
        except asyncpg.PostgresError:
            # Whatever statement fails, the transaction takes no other one.
            self.is_spoilt = True
            raise

    def has_lost(self, error: Exception) -> bool:
        return is_unavailable(error)

    def fetch(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> list[Row]:
        rows: list[Row] = self._ask(self.raw.fetch(translate(sql), *values))
        if rows and not sql.lstrip().startswith(("SELECT", "WITH")):
            self.written += len(rows)
        return rows

    def fetch_one(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> Row:
        rows = self.fetch(sql, values)
        return rows[0] if rows else None

    def run(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> int:
        if sql.startswith("ROLLBACK TO"):
            self.is_spoilt = False
        # Such as "UPDATE 3" or "INSERT 0 1".
        status: str = self._ask(self.raw.execute(translate(sql), *values))
        last = status.rpartition(" ")[2]
        changed = int(last) if last.isdigit() else 0
        self.written += changed
        return changed

    def execute(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> None:
        self.run(sql, values)

    def executemany(self, sql: str, rows: Iterable[tuple[SqlValue, ...]], /) -> None:
        some = list(rows)
        if some:
            self._ask(self.raw.executemany(translate(sql), some))
            self.written += len(some)

    def new_key(self) -> int:
        return int(self.fetch_one("SELECT nextval('resource_keys')")[0])

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        if self.raw.is_in_transaction():
            yield
            return
        _wait(self.raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        try:
            yield
        finally:
            _wait(self.raw.execute("COMMIT"))


async def prepare(raw: Any) -> None:
    """Bring a new connection of the driver to what the rest expects of it."""
    # A number with a fraction is a float in SCIM, one without is an int; the driver would make Decimal of both.
    # For this type the driver asks the server nothing, so that it does not matter what lies between.
    await raw.set_type_codec("numeric", schema="pg_catalog", encoder=repr, decoder=_number, format="text")


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


# Faults after which nothing can be said about the transaction, with what an administrator should look at.
_UNAVAILABLE: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.DiskFullError, "The disk of the PostgreSQL server is full"),
    (asyncpg.TooManyConnectionsError, "PostgreSQL has no connection left; raise max_connections or lower database_connections"),
    (asyncpg.InvalidAuthorizationSpecificationError, "PostgreSQL does not let the hub in; look at the user and its password"),
    (asyncpg.LockNotAvailableError, "Another node holds the directory for longer than the hub waits"),
    (asyncpg.QueryCanceledError, "PostgreSQL cancelled the statement"),
    (asyncpg.ReadOnlySQLTransactionError, "The PostgreSQL server may only be read; is it a standby?"),
    (asyncpg.InsufficientResourcesError, "The PostgreSQL server is short of resources"),
    (asyncpg.OperatorInterventionError, "The PostgreSQL server is going down or has just come up"),
    (asyncpg.IdleInTransactionSessionTimeoutError, "The hub stood still within a transaction for too long"),
    (asyncpg.TransactionRollbackError, "PostgreSQL rolled the transaction back because of others"),
    (asyncpg.PostgresConnectionError, "The connection to PostgreSQL was lost"),
    (asyncpg.InterfaceError, "The connection to PostgreSQL was lost"),
    # What the driver says of a connection that went away in the middle of something.
    (asyncpg.InternalClientError, "The connection to PostgreSQL was lost"),
    (asyncpg.PostgresSystemError, "The PostgreSQL server has an input/output error"),
    # All other tables are there as long as the database is.
    (asyncpg.UndefinedTableError, GONE),
    (OSError, "PostgreSQL cannot be reached"),
    (TimeoutError, "PostgreSQL did not answer in time"),
    (asyncio.TimeoutError, "PostgreSQL did not answer in time"),
)


def is_unavailable(error: BaseException) -> bool:
    """Whether the fault is the database's state, not the statement's mistake."""
    return isinstance(error, tuple(known for known, _ in _UNAVAILABLE))


# OpenSSL's codes for certificates that no trusted authority signed: by themselves, in a chain, issuer unknown, unverified.
_OF_AUTHORITIES = (18, 19, 20, 21)


def why_not_opened(error: BaseException) -> str:
    """Why there is no connection, for whoever wrote the URL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; is sslrootcert of the authority that signed it?" if error.verify_code in _OF_AUTHORITIES else ""
        return f"the server's certificate is not accepted: {error.verify_message.rstrip('.')}{hint}"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError) and "root certificate file" in str(error):
        return "its sslmode needs the certificate of the authority that signed the server's; name the file with sslrootcert"
    if isinstance(error, FileNotFoundError):
        return "a file that its URL names is not there: look at host, sslrootcert, sslcert and sslkey"
    if isinstance(error, ValueError) and not str(error).startswith("`sslmode`"):
        # Of a URL that it does not understand the driver tells a part, which may be of the password.
        return "its URL is not understood"
    # The driver's own words have no number, such as of a server that knows no TLS: they say enough.
    if isinstance(error, OSError) and (error.errno or not isinstance(error, ConnectionError)):
        reason = os.strerror(error.errno) if error.errno else str(error) or "no answer in time"
        return f"{reason}; does the server run, and is it where the URL says?"
    return str(error) or type(error).__name__


def unavailable(error: BaseException) -> StoreUnavailable:
    """The driver's fault in the words of ``directory.errors``."""
    meaning = next((meaning for known, meaning in _UNAVAILABLE if isinstance(error, known)), None)
    return StoreUnavailable(f"{meaning}." if meaning else f"The database transaction was lost ({type(error).__name__}).")


async def vacuum(raw: Any, statement: str) -> str:
    """What the server has against the VACUUM, "" when it was done: whom it does not let it only warns."""
    warnings: list[str] = []

    def note(_: Any, message: Any) -> None:
        warnings.append(message.message)

    raw.add_log_listener(note)
    try:
        await raw.execute(statement)
        # It is told in the turn behind the answer.
        await asyncio.sleep(0)
    finally:
        raw.remove_log_listener(note)
    return "; ".join(warnings)
