"""Known deviations of identity providers: a table of named rules, and the rules that mend a single value.

A dialect is the set of rules that a source is allowed. ``lenient`` has all of them and is meant for every identity
provider we know; ``strict`` has none and follows the RFC to the letter. A rule is asked only when a value does not fit
its attribute, so that what is sent properly pays nothing for what others get wrong. Each use is noted by its name.

What is wanted of a rule stands in RULES with the vendor that needs it and the vector that shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scimhub.scim import errors
from scimhub.scim.notes import Notes
from scimhub.scim.schema import Attribute


@dataclass(frozen=True, slots=True)
class Rule:
    """One deviation. ``vector`` is the file in vectors/ that shows it, or the row of the requirements that asks for it."""

    description: str
    vendor: str
    vector: str


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # Values
        "string-boolean": Rule(
            'The strings "true" and "false", in any case, are booleans.', "Entra", "entra-legacy-disable-string-uppercase"
        ),
        "number-for-string": Rule(
            "A whole number stands for its digits where a string belongs.", "Okta", "okta-numeric-externalid-and-postalcode"
        ),
        "text-for-object": Rule(
            "A string stands for a complex value with that `value`, such as a manager or a member.",
            "Entra",
            "entra-manager-add-string",
        ),
        "list-for-single": Rule("A list of one element stands for the element where a single value belongs.", "Entra", "E-001"),
        "object-for-list": Rule("A single value stands for a list of one.", "OneLogin", "generic-value-as-member-object"),
        "empty-unassigned": Rule(
            "An empty string, list or object clears an attribute whose type does not know it.",
            "OneLogin, Entra",
            "entra-manager-replace-empty-string",
        ),
        "null-element": Rule("A null in a list is passed over.", "OneLogin", "onelogin-create-empty-macros"),
        "two-primaries": Rule(
            "Of several primary values of one attribute the last one stays primary.", "PingOne", "ping-two-primary-emails"
        ),
        "member-by-reference": Rule("A member with `$ref` only is known by the id at its end.", "generic", "A-010"),
        # Bodies
        "schemas-missing": Rule(
            "A missing or incomplete `schemas` is inferred from the endpoint.", "Entra", "entra-create-without-schemas"
        ),
        "schemas-unknown": Rule(
            "URIs in `schemas` that the resource type does not have are passed over.",
            "Entra",
            "entra-group-create-adscim-schema",
        ),
        "scim1-schema": Rule(
            "The schema URN of SCIM 1 stands for that of SCIM 2.", "OneLogin", "onelogin-scim1-schema-in-template"
        ),
        "unknown-attribute": Rule(
            "What no schema knows is dropped, and named, instead of refused.",
            "Entra, Google",
            "entra-create-role-displayname-subattribute",
        ),
        "short-name": Rule(
            "An attribute of an extension may be named without the extension's URN.",
            "Entra",
            "entra-manager-reference-probe-hit",
        ),
        "key-as-path": Rule(
            "The key of an object may be a path, such as name.givenName or one with a URN.",
            "Entra",
            "entra-compliant-replace-dotted-keys",
        ),
        # PATCH
        "operation-case": Rule("`op` may be capitalised.", "Entra", "entra-legacy-replace-many"),
        "message-key-case": Rule(
            "The keys of a message may be in another case, such as `operations`.",
            "indigo-iam",
            "generic-lowercase-operations-key",
        ),
        "operations-empty": Rule("A PATCH without operations changes nothing.", "Microsoft's validator", "M-003"),
        "path-empty": Rule("An empty path is no path.", "generic", "M-031"),
        "element-created": Rule(
            "A value path that meets no element creates it from the filter.", "Entra", "entra-add-work-email-when-none"
        ),
        "listed-removal": Rule(
            "A removal with a list of values removes those only.", "Entra, JumpCloud", "entra-group-remove-value-array-two"
        ),
        "value-repeats-name": Rule(
            "The value may be wrapped in an object with the name of the path.", "Salesforce", "generic-value-nested-members"
        ),
        "wrapped-value": Rule('`[{"value": x}]` stands for x where a single simple value belongs.', "Entra", "M-078"),
        "read-only-ignored": Rule(
            "Read-only attributes inside the value of an operation without path are passed over.",
            "Okta",
            "okta-group-rename-pathless-with-id",
        ),
    }
)

# Decisions of the hub that hold in every dialect; they are noted like the rules, because an administrator asks for them.
PASSWORD_NOT_KEPT = "password-not-kept"  # noqa: S105 - the name of a rule
SCHEMAS_COMPUTED = "schemas-computed"
HUB_RULES: Mapping[str, str] = MappingProxyType(
    {
        PASSWORD_NOT_KEPT: "A value that is never returned, such as a password, is checked and then forgotten.",
        SCHEMAS_COMPUTED: "A PATCH of `schemas` is passed over; the hub computes it from the attributes that are set.",
    }
)


# Compared and hashed by identity, because compiled checks are cached by dialect.
@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """The rules that a source's requests may need."""

    name: str
    rules: frozenset[str]

    @property
    def is_lenient(self) -> bool:
        return bool(self.rules)


LENIENT = Dialect("lenient", frozenset(RULES))
STRICT = Dialect("strict", frozenset())
_BY_NAME = {dialect.name: dialect for dialect in (LENIENT, STRICT)}


def find(name: str) -> Dialect | None:
    """The dialect of that name, or None."""
    return _BY_NAME.get(name)


def allows(dialect: Dialect, rule: str, notes: Notes) -> bool:
    """Whether the dialect has the rule; when it has, its use is noted."""
    if rule not in dialect.rules:
        return False
    notes.rewrote(rule)
    return True


# --------------------------------------------------------------------------- messages


def message_fields(message: object, names: frozenset[str], where: str, dialect: Dialect, notes: Notes) -> Mapping[str, object]:
    """The members of a message that are called so in any case (spec A-002), by those names; others are passed over."""
    # JSON's objects are dict, here and below: to ask for any Mapping takes ten times as long.
    if not isinstance(message, dict):
        raise errors.invalid_syntax(f"{where} must be a JSON object.")
    if message.keys() <= names:
        return message
    by_lower = {name.lower(): name for name in names}
    fields: dict[str, object] = {}
    for key, value in message.items():
        name = by_lower.get(key.lower())
        if name is None:
            continue
        if name in fields:
            raise errors.invalid_syntax(f"{name} of {where} stands twice, in two spellings; send it once.")
        if name != key:
            allows(dialect, "message-key-case", notes)
        fields[name] = value
    return fields


def check_message_schema(schemas: object, urn: str, dialect: Dialect, notes: Notes) -> None:
    """Raise ScimError invalidSyntax unless ``schemas`` of a message names the URN."""
    if schemas == [urn]:
        return
    listed = schemas if isinstance(schemas, list) else [schemas]
    if not any(isinstance(item, str) and item.lower() == urn.lower() for item in listed):
        if not allows(dialect, "schemas-missing", notes):
            raise errors.invalid_syntax(f"schemas of the message must name {urn}.")
    elif not isinstance(schemas, list) and not allows(dialect, "object-for-list", notes):
        raise errors.invalid_syntax("schemas of the message must be a list.")


# --------------------------------------------------------------------------- mending one value


def mend(attribute: Attribute, value: object, dialect: Dialect) -> tuple[object, str] | None:
    """The value that is meant by one that does not fit, and the rule that says so; None when no rule helps.

    The new value need not fit yet: ``["True"]`` for a boolean takes two rules. None as the new value means unassigned.
    """
    found = _mend_list(attribute, value) if attribute.multi_valued else _mend_single(attribute, value)
    return found if found is not None and found[1] in dialect.rules else None


def mend_element(attribute: Attribute, value: object, dialect: Dialect) -> tuple[object, str] | None:
    """As ``mend`` for one element of a multi-valued attribute."""
    if isinstance(value, list):
        # A list in a list is no slip of the pen (spec A-040).
        return None
    found = (None, "null-element") if value is None else _mend_single(attribute, value)
    return found if found is not None and found[1] in dialect.rules else None


def mend_id(attribute: Attribute, value: object, dialect: Dialect) -> tuple[object, str] | None:
    """As ``mend`` for the id of a resource, or a reference to one: an empty string names nobody (DECISIONS 20)."""
    if value == "" and "empty-unassigned" in dialect.rules:
        return None, "empty-unassigned"
    return mend(attribute, value, dialect)


def _mend_list(attribute: Attribute, value: object) -> tuple[object, str] | None:
    if value in ("", {}):
        return None, "empty-unassigned"
    return None if isinstance(value, list) else ([value], "object-for-list")


def _mend_single(attribute: Attribute, value: object) -> tuple[object, str] | None:
    if isinstance(value, list):
        if len(value) == 1 and not isinstance(value[0], list):
            return value[0], "list-for-single"
        return None if value else (None, "empty-unassigned")
    if value in ("", {}):
        # A string may be empty; nothing else may.
        return (None, "empty-unassigned") if value == {} or attribute.type != "string" else None
    if isinstance(value, str):
        return _mend_text(attribute, value)
    if attribute.type == "string" and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value), "number-for-string"
    return None


def _mend_text(attribute: Attribute, value: str) -> tuple[object, str] | None:
    if attribute.type == "boolean" and value.lower() in ("true", "false"):
        # Any other string is refused: a truthy string would leave people enabled who should not be.
        return value.lower() == "true", "string-boolean"
    if attribute.is_complex and attribute.find("value") is not None:
        return {"value": value}, "text-for-object"
    return None
