"""What ``scimhub doctor`` finds out about a PostgreSQL server: one question for the facts, then judgements on them.

Each finding is a verdict and a sentence; one that is not OK says what to do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scimhub.sqlstore.connection import Finding
from scimhub.sqlstore.postgres.pooling import Pooling

NEWEST_TRIED = 18
# Of one process, besides those of its pool: for exchanges and news.
BESIDE_THE_POOL = 4
# Seconds: clocks further apart make times misleading, and still further leases unsafe to reason about.
_CLOCKS_APART, _CLOCKS_FAR_APART = 1.0, 30.0
_LONG_TRANSACTION = 300.0
_LARGE_STAGING = 256 * 1024 * 1024
_MANY_STAGED = 20_000
_MIB = 1024 * 1024

COUNT_NODES = "SELECT count(*) FROM nodes WHERE seen > now() - interval '1 minute'"
_FACTS = f"""
SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('server_version') AS version,
    current_setting('server_encoding') AS encoding,
    (SELECT datctype FROM pg_database WHERE datname = current_database()) AS ctype,
    current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes, current_setting('autovacuum') AS autovacuum,
    current_setting('max_connections')::int AS most,
    current_setting('superuser_reserved_connections')::int AS reserved,
    ({COUNT_NODES}) AS nodes,
    clock_timestamp() AS time, current_user::text AS name, current_setting('is_superuser') = 'on' AS is_superuser,
    has_schema_privilege(current_schema(), 'CREATE') AS may_create,
    has_table_privilege('resources', 'SELECT') AND has_table_privilege('resources', 'INSERT')
        AND has_table_privilege('resources', 'UPDATE') AND has_table_privilege('resources', 'DELETE') AS may_write,
    (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'resources'::regclass) AS is_owner,
    EXISTS (SELECT 1 FROM pg_opclass AS c WHERE c.opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(c.oid)) AS has_trigrams,
    (SELECT count(*) FROM search_indexes) AS searches,
    pg_total_relation_size('staged_changes') AS staging,
    (SELECT count(*) FROM (SELECT 1 FROM staged_changes LIMIT 100000) AS few) AS staged"""
_OLDEST = """
SELECT pid, coalesce(application_name, '') AS application, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'
ORDER BY xact_start LIMIT 1"""
_IN_FORCE = "SELECT name FROM pg_settings WHERE name = ANY ($1::text[]) AND source = 'default'"
# What the server does unless it is told otherwise.
_SAME_BY_DEFAULT = "default_transaction_isolation"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How this process uses the server: its largest number of connections, and by what way."""

    connections: int
    pooling: Pooling
    has_direct: bool
    # What each connection should have in force, by name.
    wanted: dict[str, str]


async def examine(raw: Any, given: Circumstances) -> list[Finding]:
    """All there is to find, in the order in which one would mend it."""
    before = datetime.now(UTC)
    facts = await raw.fetchrow(_FACTS)
    ahead = (facts["time"] - (before + (datetime.now(UTC) - before) / 2)).total_seconds()
    oldest = await raw.fetchrow(_OLDEST)
    missing = []
    if given.pooling != "none":
        missing = [row[0] for row in await raw.fetch(_IN_FORCE, [name for name in given.wanted if name != _SAME_BY_DEFAULT])]
    return [
        _version(facts),
        _durability(facts),
        _texts(facts),
        _privileges(facts),
        _connections(facts, given),
        *_pooler(given, missing, facts["name"]),
        _clocks(ahead),
        _trigrams(facts),
        _staging(facts),
        _transactions(oldest),
    ]


def _version(facts: Any) -> Finding:
    if facts["major"] > NEWEST_TRIED:
        text = f"The server is PostgreSQL {facts['version']}; the hub has been tried with 15 to {NEWEST_TRIED} only."
        return Finding("WARN", "postgresql", text)
    return Finding("OK", "postgresql", f"The server is PostgreSQL {facts['version']}.")


def _durability(facts: Any) -> Finding:
    off = [name for name in ("fsync", "full_page_writes") if facts[name] == "off"]
    if facts["synchronous_commit"] == "off":
        off.append("synchronous_commit")
    if off:
        names = " and ".join(off)
        text = f"{names} is off: a write that was acknowledged can be lost with a crash; set it on in postgresql.conf."
        return Finding("FAIL", "durability", text)
    if facts["autovacuum"] == "off":
        return Finding("WARN", "durability", "autovacuum is off: tables grow without end; set it on in postgresql.conf.")
    text = f"What is acknowledged is on disk: fsync is on, synchronous_commit is {facts['synchronous_commit']}."
    return Finding("OK", "durability", text)


def _texts(facts: Any) -> Finding:
    if facts["encoding"] != "UTF8":
        text = f"The database's encoding is {facts['encoding']}; make one with ENCODING 'UTF8', in which all names can be kept."
        return Finding("FAIL", "encoding", text)
    if facts["ctype"] in ("C", "POSIX"):
        text = (
            f"LC_CTYPE is {facts['ctype']}, which knows no letters but those of ASCII: search indexes find nothing quickly by"
            " others. Make the database with a UTF-8 locale, such as C.UTF-8, if that matters."
        )
        return Finding("WARN", "encoding", text)
    text = f"The encoding is UTF8, LC_CTYPE is {facts['ctype']}; texts compare by code point whatever the collation is."
    return Finding("OK", "encoding", text)


def _privileges(facts: Any) -> Finding:
    name = facts["name"]
    if not facts["may_write"] or not facts["may_create"]:
        what = "write its tables" if not facts["may_write"] else "make tables in its schema, which upgrades need"
        text = f"The user {name} may not {what}; make it the owner of them, and grant it CREATE on the schema."
        return Finding("FAIL", "privileges", text)
    if not facts["is_owner"]:
        text = (
            f"The user {name} does not own the hub's tables; upgrades and search indexes will fail, what was moved out of"
            " staged_changes is not cleaned, and former secrets are not erased. Make it their owner."
        )
        return Finding("WARN", "privileges", text)
    if facts["is_superuser"]:
        text = f"The user {name} is a superuser; one with CREATE on its schema is enough, so make one for the hub."
        return Finding("WARN", "privileges", text)
    return Finding("OK", "privileges", f"The user {name} owns the hub's tables, and may make more.")


def _connections(facts: Any, given: Circumstances) -> Finding:
    nodes = max(1, facts["nodes"])
    each = given.connections + BESIDE_THE_POOL
    room = facts["most"] - facts["reserved"]
    shown = f"{nodes} node{'s' if nodes > 1 else ''} with up to {each} connections each"
    if nodes * each > room and given.pooling == "none":
        text = f"{shown} want more than the {room} that the server gives; raise max_connections or lower database_connections."
        return Finding("WARN", "connections", text)
    return Finding("OK", "connections", f"{shown}; the server gives {room}.")


def _pooler(given: Circumstances, missing: list[str], name: str) -> Iterator[Finding]:
    if given.pooling == "none":
        return
    if missing:
        commands = " ".join(f"ALTER ROLE {name} SET {setting} = '{given.wanted[setting]}';" for setting in missing)
        yield Finding("WARN", "pooler", f"Settings cannot be sent by way of the pooler; have an administrator run: {commands}")
    if given.pooling == "plain":
        text = (
            "The pooler does not know prepared statements, so that each statement takes more ways to the server; use pgbouncer"
            " 1.21 or newer with max_prepared_statements = 200."
        )
        yield Finding("WARN", "pooler", text)
    if not given.has_direct:
        text = "News of other nodes is not heard by way of the pooler; set SCIMHUB_DATABASE_DIRECT to the server's own URL."
        yield Finding("WARN", "pooler", text)
    if not missing and given.pooling == "prepared" and given.has_direct:
        yield Finding("OK", "pooler", "The database is reached by way of a pooler that knows prepared statements.")


def _clocks(ahead: float) -> Finding:
    if abs(ahead) < _CLOCKS_APART:
        return Finding("OK", "clocks", f"The clocks of the server and of this machine differ by {abs(ahead):.2f} s.")
    side = "ahead of" if ahead > 0 else "behind"
    text = f"The server's clock is {abs(ahead):.1f} s {side} this machine's; set both by NTP."
    return Finding("FAIL" if abs(ahead) >= _CLOCKS_FAR_APART else "WARN", "clocks", text)


def _trigrams(facts: Any) -> Finding:
    if facts["has_trigrams"]:
        return Finding("OK", "pg_trgm", f"The extension pg_trgm is there; there are {facts['searches']} search indexes.")
    text = "The extension pg_trgm is not there; for search indexes an administrator would run: CREATE EXTENSION pg_trgm"
    return Finding("OK", "pg_trgm", text)


def _staging(facts: Any) -> Finding:
    if facts["staged"] >= _MANY_STAGED:
        text = f"{facts['staged']} committed changes have no position yet; look into the hub's log for the sequencer's faults."
        return Finding("WARN", "staging", text)
    size = facts["staging"]
    if size >= _LARGE_STAGING:
        text = (
            f"The table staged_changes has grown to {size // _MIB} MiB, most of it empty; when there is little to do, run:"
            " VACUUM FULL staged_changes"
        )
        return Finding("WARN", "staging", text)
    return Finding("OK", "staging", f"{facts['staged']} changes wait for their position, in {size / _MIB:.1f} MiB.")


def _transactions(oldest: Any) -> Finding:
    if oldest is None or oldest["seconds"] < _LONG_TRANSACTION:
        return Finding("OK", "transactions", "No transaction has been open for long.")
    text = (
        f"A transaction of {oldest['application'] or 'a client without name'} has been open for {oldest['seconds'] / 60:.0f}"
        f" minutes, so that tables cannot be cleaned; end it with: SELECT pg_terminate_backend({oldest['pid']})"
    )
    return Finding("WARN", "transactions", text)
