"""Resources that an identity provider makes only to see whether a connection works (DECISIONS 21).

They are stored as asked and not distributed. Each rule has a name, so that a timeline can say why nothing was sent; each
pattern is narrow, since a person whom it met by mistake would reach no destination.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scimhub.scim.catalog import GROUP_URN, USER_URN, Kind


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of throw-away resource: those of the schema whose attribute has a text of that form.

    The pattern begins with a letter, in either case.
    """

    name: str
    schema: str
    attribute: str
    pattern: re.Pattern[str]


RULES = (
    # vectors/jumpcloud-activation-test-user.json and -group.json: made, changed and deleted when a connection is activated.
    Rule("jumpcloud-test-user", USER_URN, "userName", re.compile(r"jc(test|gt)\.[0-9a-z-]+@\S+", re.IGNORECASE)),
    Rule("jumpcloud-test-group", GROUP_URN, "displayName", re.compile(r"JC Test (?=[a-z-]*[0-9])[0-9a-z-]{4,}", re.IGNORECASE)),
    # Okta's SCIM 2.0 specification test writes such users at its own domain.
    Rule("okta-specification-test", USER_URN, "userName", re.compile(r"runscope[0-9a-z]*@atko\.com", re.IGNORECASE)),
)


# A change that touches none of these leaves the answer as it was.
ATTRIBUTES = frozenset(rule.attribute for rule in RULES)
_BY_SCHEMA = {schema: [rule for rule in RULES if rule.schema == schema] for schema in {rule.schema for rule in RULES}}


class _Beginning(NamedTuple):
    """How a value of one attribute may begin in the text of a stored document where some rule is met."""

    key: str
    # What its first character is one of; to ask for that is quicker than to ask for the form, and most often enough.
    initials: str
    form: re.Pattern[str]


def _beginnings(rules: Sequence[Rule]) -> list[_Beginning]:
    forms: dict[str, list[str]] = {}
    for rule in rules:
        forms.setdefault(f'"{rule.attribute}":"', []).append(rule.pattern.pattern)
    return [
        _Beginning(key, "".join(form[0].lower() + form[0].upper() for form in some), re.compile("|".join(some), re.IGNORECASE))
        for key, some in forms.items()
    ]


_BEGINNINGS = {schema: _beginnings(rules) for schema, rules in _BY_SCHEMA.items()}


def rule_met(document: Mapping[str, object], kind: Kind) -> str | None:
    """The name of the rule by which the resource is a throw-away one, or None."""
    for rule in _BY_SCHEMA.get(kind.base.id, ()):
        value = document.get(rule.attribute)
        if isinstance(value, str) and rule.pattern.fullmatch(value):
            return rule.name
    return None


def may_be_met(text: str, kind: Kind) -> bool:
    """Whether ``rule_met`` may find a rule for the stored document: much quicker, and now and then yes where it finds none."""
    for key, initials, form in _BEGINNINGS.get(kind.base.id, ()):
        at = text.find(key)
        while at >= 0:
            value = at + len(key)
            if text[value] in initials and form.match(text, value):
                return True
            at = text.find(key, value)
    return False
