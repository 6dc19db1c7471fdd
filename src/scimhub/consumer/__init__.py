"""For those who receive: verify a webhook, read an event, keep a copy of a directory that equals the hub's.

Standard library only, and no other part of scimhub: this folder may be copied into any program as it is, which is why its
modules name each other relatively.
"""

from .event import Event, Malformed, parse
from .feed import Feed, Page, Refused, Unavailable
from .replica import Held, Outcome, Replica, Restored, Truncated
from .webhook import (
    BadSecret,
    BadTimestamp,
    MissingHeader,
    NoMatchingSignature,
    TooNew,
    TooOld,
    UnsupportedSignature,
    Unverified,
    verify,
)

__all__ = [
    "BadSecret",
    "BadTimestamp",
    "Event",
    "Feed",
    "Held",
    "Malformed",
    "MissingHeader",
    "NoMatchingSignature",
    "Outcome",
    "Page",
    "Refused",
    "Replica",
    "Restored",
    "TooNew",
    "TooOld",
    "Truncated",
    "Unavailable",
    "UnsupportedSignature",
    "Unverified",
    "parse",
    "verify",
]
