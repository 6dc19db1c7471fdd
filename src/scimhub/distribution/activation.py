"""Resources that an identity provider makes only to see whether a connection works (DECISIONS 21).

They are stored as asked and not distributed. Each rule has a name, so that a timeline can say why nothing was sent; each
pattern is narrow, since a person whom it met by mistake would reach no destination.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scimhub.scim.catalog import GROUP_URN, USER_URN, Kind


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of throw-away resource: those of the schema whose attribute has a text of that form."""

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


def rule_met(document: Mapping[str, object], kind: Kind) -> str | None:
    """The name of the rule by which the resource is a throw-away one, or None."""
    for rule in RULES:
        if rule.schema == kind.base.id:
            value = document.get(rule.attribute)
            if isinstance(value, str) and rule.pattern.fullmatch(value):
                return rule.name
    return None
