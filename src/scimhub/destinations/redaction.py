"""What a receiver answered, as text that may be stored and shown: without what looks like a secret, without control characters.

It is a guess, and errs towards hiding: ids of ours (UUIDs) stay readable, any other long run of letters with digits does not.
"""

import json
import re
import string
from collections.abc import Iterable
from typing import Final

# So many bytes of an answer are read, and so many characters of it kept.
EXCERPT_LIMIT: Final = 4096
_HIDDEN: Final = "[redacted]"
# A shorter text is no secret, and found in any answer.
_SHORTEST: Final = 4

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_QUOTED = r"""(?P<quote>\\*["'])(?:(?!(?P=quote))(?:\\.|.))*(?:(?P=quote))?"""
_NAMES = r"passw(?:or)?d|passphrase|pwd|secret|token|credential|cookie|api[-_]?key|access[-_]?key|private[-_]?key"
# Bounded, so that no answer makes the search slow.
_SENSITIVE = rf"[\w.-]{{0,40}}(?:{_NAMES})[\w.-]{{0,40}}"
# Each pattern with what stands in the place of what it finds; they are tried in this order.
_RULES: Final = (
    # ``Authorization: anything to the end of the line``; and the same two headers as JSON, by the second rule's quotes.
    (
        re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)(?![\"'\\\s])[^\r\n]+", re.IGNORECASE),
        rf"\1\2{_HIDDEN}",
    ),
    (
        re.compile(
            rf"""\b((?:proxy-)?authorization|{_SENSITIVE})(\\*["']?\s*[:=>]\s*)(?:{_QUOTED}|(?![\[{{"'\\<])[^\s&,;<>}}\])"']+)""",
            re.IGNORECASE | re.DOTALL,
        ),
        rf"\1\2{_HIDDEN}",
    ),
    (re.compile(r"\b(bearer|basic|digest|negotiate)\s+(?=[A-Za-z]*[\d._~+/=-])[\w.~+/=-]+", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (re.compile(r"\b(whsec|whsk)_[A-Za-z0-9+/=_-]+"), rf"\1_{_HIDDEN}"),
    (re.compile(r"(?<![\w-])eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)?"), _HIDDEN),  # a JSON Web Token
    (
        re.compile(
            rf"(?<![A-Za-z0-9+/_=-])(?!{_UUID}(?:_{_UUID}|_[0-9]+)*(?![A-Za-z0-9+/_=-]))"
            r"(?=[A-Za-z+/_-]*[0-9])[A-Za-z0-9+/_-]{32,}={0,2}"
        ),
        _HIDDEN,
    ),
)
# A secret that the limit cuts in two would be too short to be known as one: what stands at the cut is left out.
_OF_A_RUN: Final = string.ascii_letters + string.digits + "+/_=.~-"
# C0, DEL, C1, line separators, and what turns the direction of writing round.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SHORT_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def excerpt(answer: bytes, secrets: Iterable[str] = ()) -> str:
    """The beginning of an answer's body as one line of text, at most ``EXCERPT_LIMIT`` characters long.

    ``secrets`` were sent with the request, and are hidden whatever they look like: some receivers show what they were sent.
    """
    text = answer[:EXCERPT_LIMIT].decode("utf-8", "replace")
    if len(answer) >= EXCERPT_LIMIT:
        text = text.rstrip(_OF_A_RUN)
    for spelling in sorted({one for secret in secrets for one in _spellings(secret)}, key=len, reverse=True):
        text = text.replace(spelling, _HIDDEN)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _CONTROL.sub(_escaped, text)[:EXCERPT_LIMIT]


def _spellings(secret: str) -> Iterable[str]:
    """The secret, and what stands behind a scheme such as Bearer, as they are and as JSON writes them."""
    several = (secret, secret.partition(" ")[2])
    return (spelling for one in several if len(one) >= _SHORTEST for spelling in (one, json.dumps(one)[1:-1]))


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
