"""Everything that a custom HTTP API shows of a resource type, page by page, as the configuration says.

A list that is no list, that goes round in circles or has less than it says ends the reading: nobody is taken for missing
because of a broken answer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from urllib.parse import quote

from yarl import URL

from scimhub.destinations import http_api_requests
from scimhub.destinations.http_api_lists import Listing, Place
from scimhub.destinations.http_client import Answer
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.templates import Source
from scimhub.distribution import rules
from scimhub.distribution.delivery import Retry
from scimhub.distribution.drift import Shown

# Bytes of a page.
LONGEST_PAGE: Final = 16 * 1024 * 1024
_MOST_PAGES: Final = 20_000
# Seconds for all pages.
_LONGEST_READING: Final = 3600.0
_LONGEST_URL: Final = 8000
_LONGEST_ID: Final = 1000

Ask = Callable[[URL], Awaitable[Answer]]


async def pages(name: str, listing: Listing, url: URL, ask: Ask, monotonic: Callable[[], float]) -> AsyncIterator[list[Shown]]:
    """What it shows, each item once; ``url`` is where the operation ``name`` is asked. Raises Failure."""
    begun, seen, total = monotonic(), set[str](), 0
    way = _Way(name, listing, url)
    following: URL | None = way.first()
    while following is not None:
        if len(way.asked) > _MOST_PAGES or monotonic() - begun > _LONGEST_READING:
            raise _broken(name, f"has no end: after {len(way.asked):,} pages there is another one")
        document = http_api_requests.json_of(await ask(following))
        items = _items(name, listing, document)
        found = [_shown_of(name, listing, item) for item in items]
        fresh = list({shown.remote_id: shown for shown in found if shown.remote_id not in seen}.values())
        seen.update(shown.remote_id for shown in fresh)
        yield fresh
        total = max(total, _total(name, listing, document))
        is_all = listing.total is not None and len(seen) >= total
        following = way.behind(following, document, len(items), len(fresh), is_all=is_all)
    if len(seen) < total:
        raise _broken(name, f"says that there are {total:,} and showed {len(seen):,}; look again later")


def keys_of(listing: Listing, our_id: str | None, match: str | None) -> tuple[str, ...]:
    """By what a resource is found, as texts that are equal for who is the same, best first."""
    keys = []
    if listing.our_id is not None and our_id:
        keys.append(f"{listing.our_id.path}={our_id}")
    if listing.match is not None and match:
        keys.append(f"{listing.match[0].path}={match.casefold()}")
    return tuple(keys)


def wanted(listing: Listing, source: Source) -> tuple[dict[str, object], tuple[str, ...]]:
    """What an item is to show of the resource, by path, and the keys by which it would be found."""
    values = {path: rules.value_of(rule, source) for path, (_, rule) in listing.compared.items()}
    match = None if listing.match is None else rules.text_of(rules.value_of(listing.match[1], source))
    return values, keys_of(listing, rules.text_of(source.get("id")), match)


# --------------------------------------------------------------------------- one page


def _items(name: str, listing: Listing, document: object) -> list[object]:
    if document is None:
        raise _broken(name, "is no JSON, or longer than 16 MiB")
    found = document if listing.items is None else listing.items.read(document)
    if not isinstance(found, list):
        where = "is no list" if listing.items is None else f"has no list at {listing.items.path}"
        raise _broken(name, where)
    return found


def _total(name: str, listing: Listing, document: object) -> int:
    if listing.total is None:
        return 0
    found = listing.total.read(document)
    if type(found) is not int:
        raise _broken(name, f"has no number at {listing.total.path}")
    return found


def _shown_of(name: str, listing: Listing, item: object) -> Shown:
    id = rules.text_of(listing.remote_id.read(item))
    if not id or id in (".", "..") or len(id) > _LONGEST_ID:
        raise _broken(name, f"has an item without an id at {listing.remote_id.path}")
    our_id = _text_at(listing.our_id, item)
    match = None if listing.match is None else _text_at(listing.match[0], item)
    return Shown(
        id,
        {path: place.read(item) for path, (place, _) in listing.compared.items()},
        our_id,
        None if listing.members is None else _texts(listing.members.read(item)),
        keys_of(listing, our_id, match),
    )


def _text_at(place: Place | None, item: object) -> str | None:
    return None if place is None else rules.text_of(place.read(item))


def _texts(found: object) -> tuple[str, ...]:
    several = found if isinstance(found, list) else [found]
    return tuple(text for one in several if (text := rules.text_of(one)))


# --------------------------------------------------------------------------- from page to page


class _Way:
    """The URLs of one list's pages; ``asked`` are those that were given, none of them twice."""

    def __init__(self, name: str, listing: Listing, url: URL) -> None:
        self.asked: set[URL] = set()
        self._name = name
        self._paging = listing.paging
        self._url = url
        self._count = listing.paging.first if listing.paging.style == "page" else 0

    def first(self) -> URL:
        """Where the list begins."""
        return self._next(self._url if self._paging.style in ("none", "next", "cursor") else self._with(str(self._count)))

    def behind(self, url: URL, document: object, items: int, fresh: int, *, is_all: bool) -> URL | None:
        """Where the page behind the one at the URL is, which had so many items; None when that was the last one."""
        style = self._paging.style
        if style == "none":
            return None
        if style in ("page", "offset"):
            if not items or is_all:
                return None
            if not fresh:
                raise _broken(self._name, f"is the same again with another {self._paging.parameter}: give total, or no paging")
            self._count += 1 if style == "page" else items
            return self._next(self._with(str(self._count)))
        found = None if self._paging.place is None else self._paging.place.read(document)
        if rules.is_empty(found) or found is False:
            return None
        text = rules.text_of(found)
        if text is None or len(text) > _LONGEST_URL:
            raise _broken(self._name, f"has at {'' if self._paging.place is None else self._paging.place.path} no text")
        return self._next(self._with(text) if style == "cursor" else self._linked(url, text))

    def _next(self, url: URL) -> URL:
        if url in self.asked:
            raise _broken(self._name, "goes round in a circle: a page leads to one that was there already")
        self.asked.add(url)
        return url

    def _with(self, value: str) -> URL:
        """The operation's URL with the parameter."""
        text = str(self._url)
        joint = "&" if "?" in text else "?"
        return URL(f"{text}{joint}{quote(self._paging.parameter, safe='')}={quote(value, safe='')}", encoded=True)

    def _linked(self, url: URL, text: str) -> URL:
        """Where the answer's link leads: credentials are sent there, so that it must be the same origin (RFC 6454 §5)."""
        try:
            found = url.join(URL(text)).with_fragment(None)
            is_same = found.origin() == self._url.origin() and found.raw_user is None and found.raw_password is None
        except ValueError:
            is_same = False
        if not is_same:
            raise _broken(self._name, "leads to another origin, or nowhere; only pages behind the base_url's host are asked")
        return found


def _broken(name: str, what: str) -> Failure:
    return Failure(Retry(f"The answer to {name} {what}.", "destination"))
