"""The use-cases on directories, sources and tokens: who may write where, and by which secret.

Names are parts of URLs that administrators paste into identity providers, hence their narrow rule. A token's secret is
returned by the call that makes it and kept nowhere.
"""

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast, get_args

from scimhub import clock
from scimhub.directory.errors import Absent, Conflict, Invalid
from scimhub.directory.ports import DirectoryStore
from scimhub.directory.records import Directory, Permission, Returning, Source, Token
from scimhub.scim import dialects

# Okta refuses an underscore in the host and path of a base URL.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PERIOD = re.compile(r"([1-9][0-9]{0,4})(h|d|y)")
_PERIOD_HOURS = {"h": 1, "d": 24, "y": 24 * 365}
_SHORTEST_SECRET = 20

DEFAULT_EXPIRY = "1y"
DEFAULT_NAME = "default"
PERMISSIONS: frozenset[Permission] = frozenset(get_args(Permission))


# --------------------------------------------------------------------------- directories


async def create_directory(store: DirectoryStore, name: str, now: str) -> Directory:
    """A new, empty directory; raises Invalid for its name, Conflict when the name is taken."""
    if problems := _name_problems("directory", name):
        raise Invalid(problems)
    return await store.create_directory(name, now)


async def get_directory(store: DirectoryStore, name: str) -> Directory:
    """The directory of that name; raises Absent."""
    found = await store.find_directory(name)
    if found is None:
        raise Absent(f"There is no directory {name[:80]!r}; list those there are with: scimhub directory list.")
    return found


async def request_directory_deletion(store: DirectoryStore, name: str, now: str) -> Directory:
    """The first of the two steps of deleting a directory (DECISIONS 25); nothing is lost yet."""
    directory = await get_directory(store, name)
    if directory.deletion_requested is not None:
        return directory
    return await store.request_directory_deletion(directory.key, now)


async def delete_directory(store: DirectoryStore, name: str, confirmation: str) -> None:
    """The second step: remove the directory with all it holds. ``confirmation`` is its name once more."""
    directory = await get_directory(store, name)
    if confirmation != name:
        raise Invalid([f"The confirmation is {confirmation[:80]!r}; it must be the directory's name, {name}."])
    if directory.deletion_requested is None:
        raise Conflict(f"The deletion of directory {name} was not requested; first run: scimhub directory delete {name}.")
    await store.delete_directory(directory.key)


# --------------------------------------------------------------------------- sources


async def create_source(
    store: DirectoryStore, directory: Directory, name: str, dialect: str, returning: str, now: str
) -> Source:
    """A new source of the directory; raises Invalid with every mistake, Conflict when the name is taken."""
    problems = _name_problems("source", name) + _dialect_problems(dialect) + _returning_problems(returning)
    if problems:
        raise Invalid(problems)
    return await store.create_source(directory.key, name, dialect, cast(Returning, returning), now)  # checked above


async def get_source(store: DirectoryStore, directory: Directory, name: str) -> Source:
    """The directory's source of that name; raises Absent."""
    found = await store.find_source(directory.key, name)
    if found is None:
        raise Absent(f"Directory {directory.name} has no source {name[:80]!r}.")
    return found


async def update_source(store: DirectoryStore, source: Source, dialect: str | None, returning: str | None) -> Source:
    """Give the source another dialect or another rule for returning people; None keeps what it has."""
    dialect = source.dialect if dialect is None else dialect
    returning = source.returning if returning is None else returning
    if problems := _dialect_problems(dialect) + _returning_problems(returning):
        raise Invalid(problems)
    return await store.update_source(source.key, dialect, cast(Returning, returning))  # checked above


# --------------------------------------------------------------------------- tokens


async def create_token(
    store: DirectoryStore,
    source: Source,
    permissions: Collection[str],
    expires: str | None,
    now: str,
    secret: str | None = None,
) -> tuple[Token, str]:
    """A new token beside those the source has, and its secret, which cannot be had again.

    ``expires`` is as in ``parse_expiry``; ``secret`` is given only for the bootstrap token.
    """
    known = " and ".join(get_args(Permission))
    problems = [f"{name[:80]!r} is no permission; there are {known}." for name in permissions if name not in PERMISSIONS]
    if not permissions:
        problems.append("A token needs at least one permission: read, write or both.")
    moment = None
    try:
        moment = parse_expiry(DEFAULT_EXPIRY if expires is None else expires, now)
    except Invalid as error:
        problems += error.problems
    if secret is not None and len(secret) < _SHORTEST_SECRET:
        problems.append(f"The given secret has {len(secret)} characters; it must have at least {_SHORTEST_SECRET}.")
    if problems:
        raise Invalid(problems)
    # 32 random bytes, 43 characters; the prefix lets secret scanners and people recognise it.
    secret = secret or f"scimhub_{secrets.token_urlsafe(32)}"
    granted = cast(frozenset[Permission], frozenset(permissions))  # checked above
    token = await store.create_token(source.key, digest_of(secret), secret[-4:], granted, moment, now)
    return token, secret


def digest_of(secret: str) -> bytes:
    """What is stored of a secret. A plain hash is enough: nobody guesses 256 random bits, however fast the hash is."""
    return hashlib.sha256(secret.encode()).digest()


def parse_expiry(text: str, now: str) -> str | None:
    """The moment that ``90d``, ``12h``, ``1y``, ``2027-01-31`` or ``2027-01-31T12:00:00Z`` means; None for ``never``."""
    if text == "never":
        return None
    period = _PERIOD.fullmatch(text)
    if period is not None:
        try:
            return clock.text(clock.parse(now) + timedelta(hours=int(period[1]) * _PERIOD_HOURS[period[2]]))
        except OverflowError:
            raise Invalid([f"The expiry {text!r} lies beyond the calendar; write never instead."]) from None
    try:
        moment = datetime.fromisoformat(text)
        written = clock.text(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise Invalid(
            [f"The expiry {text[:80]!r} is not understood; write never, 90d, or a date such as 2027-01-31."]
        ) from None
    if written <= now:
        raise Invalid([f"The expiry {text!r} has passed; write a date after {now[:10]}."])
    return written


# --------------------------------------------------------------------------- the first start


@dataclass(frozen=True, slots=True)
class FirstGrant:
    """What ``bootstrap`` made; ``secret`` is shown once."""

    directory: Directory
    source: Source
    token: Token
    secret: str


async def bootstrap(store: DirectoryStore, secret: str | None, now: str) -> FirstGrant | None:
    """On an empty database: directory ``default`` with source ``default`` and a token; None when there is a token already.

    ``secret`` becomes the token's (``SCIMHUB_BOOTSTRAP_TOKEN``), which then does not expire, since whoever sets it also
    replaces it; without it one is made. What a crash left half done is completed.
    """
    directories = await store.list_directories()
    if any(directory.name != DEFAULT_NAME for directory in directories):
        return None
    for source in await store.list_sources(directories[0].key) if directories else ():
        if source.name != DEFAULT_NAME or await store.list_tokens(source.key):
            return None
    directory = directories[0] if directories else await create_directory(store, DEFAULT_NAME, now)
    found = await store.find_source(directory.key, DEFAULT_NAME)
    default = found or await create_source(store, directory, DEFAULT_NAME, dialects.LENIENT.name, "new", now)
    expires = DEFAULT_EXPIRY if secret is None else "never"
    token, shown = await create_token(store, default, PERMISSIONS, expires, now, secret)
    return FirstGrant(directory, default, token, shown)


# --------------------------------------------------------------------------- checks


def _name_problems(what: str, name: str) -> list[str]:
    if _NAME.fullmatch(name):
        return []
    return [
        f"The {what} name {name[:80]!r} is not legal; use 1 to 63 lower-case letters, digits and hyphens, "
        "without a hyphen at either end (no underscore: Okta refuses it in a base URL)."
    ]


def _dialect_problems(name: str) -> list[str]:
    if dialects.find(name) is not None:
        return []
    return [f"There is no dialect {name[:80]!r}; write {dialects.LENIENT.name} or {dialects.STRICT.name}."]


def _returning_problems(name: str) -> list[str]:
    choices = get_args(Returning)
    return [] if name in choices else [f"returning is {name[:80]!r}; it must be {' or '.join(choices)}."]
