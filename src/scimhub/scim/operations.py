"""The operations of a PATCH, read one by one to edits (RFC 7644 §3.5.2, figure 7).

An operation without path is taken apart into one operation for each attribute in its value, and a singular complex value
into one for each of its parts: so the rules of add and replace, which merge, need to be kept in one place only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

from scimhub.scim import checks, dialects, errors, filters, members, resource
from scimhub.scim.catalog import AmbiguousName, Kind, Target, with_sub
from scimhub.scim.checks import AttributeChecks
from scimhub.scim.dialects import Dialect
from scimhub.scim.edits import Choice, Edit, Verb
from scimhub.scim.errors import ScimError
from scimhub.scim.expressions import All, Expression, Test, ValuePath
from scimhub.scim.members import MemberEdit
from scimhub.scim.notes import Notes
from scimhub.scim.schema import Attribute

_VERBS: Mapping[str, Verb] = {verb: verb for verb in get_args(Verb)}
_OF_AN_OPERATION = frozenset(("op", "path", "value"))


@dataclass(frozen=True, slots=True)
class ExternalIdEdit:
    """The externalId that the PATCH gives the resource; None takes it away."""

    value: str | None


_LONGEST_PLAIN = 100


@lru_cache(maxsize=1024)
def _plain_target(kind: Kind, text: str) -> Target | None:
    """What a path denotes that is nothing but the full name of an attribute or of its part; None for all others."""
    if "[" in text or kind.extension_urn(text) is not None or kind.is_base_urn(text):
        return None
    try:
        path = filters.parse_value_path(text).path
        target = kind.resolve(path, short_names=False)
    except ScimError:
        return None
    return None if target is None or target.attribute is None else target


class Reader:
    """Reads the operations of one message, in their order; its attributes are what they come to."""

    def __init__(self, kind: Kind, dialect: Dialect, notes: Notes, stored_id: str) -> None:
        self.edits: list[Edit] = []
        self.member_edit = MemberEdit()
        self.external_id: ExternalIdEdit | None = None
        self._kind = kind
        self._dialect = dialect
        self._notes = notes
        self._stored_id = stored_id
        self._number = 0

    def read(self, number: int, operation: object) -> None:
        """Take in one operation; raises ScimError."""
        self._number = number
        fields = dialects.message_fields(operation, _OF_AN_OPERATION, "The operation", self._dialect, self._notes)
        verb, path = self._verb(fields.get("op")), fields.get("path")
        if path is None or path == "":
            if path == "":
                self._allows("path-empty")
            if verb == "remove":
                raise errors.no_target("A remove needs a path that says what to remove.")
            self._read_object(verb, fields.get("value"))
        elif not isinstance(path, str):
            raise errors.invalid_path("The path must be a string such as name.givenName.")
        elif verb != "remove" and "value" not in fields:
            raise errors.invalid_value(f"{verb} {path[:100]} has no value; send one, or null to clear the attribute.")
        else:
            self._read_path(verb, path, fields.get("value"))

    def _allows(self, rule: str) -> bool:
        return dialects.allows(self._dialect, rule, self._notes)

    def _verb(self, op: object) -> Verb:
        if isinstance(op, str):
            if op in _VERBS:
                return _VERBS[op]
            # Entra sends Add, Replace and Remove; vectors/entra-legacy-replace-many.json
            if op.lower() in _VERBS and self._allows("operation-case"):
                return _VERBS[op.lower()]
        raise errors.invalid_syntax("The operation's op must be add, remove or replace.")

    # ------------------------------------------------------------------ paths

    def _read_path(self, verb: Verb, text: str, value: object) -> None:
        plain = _plain_target(self._kind, text) if len(text) <= _LONGEST_PLAIN else None
        if plain is not None:
            self._read_target(verb, plain, None, value, in_object=False)
            return
        urn = self._kind.extension_urn(text)
        if urn is not None:
            self._read_extension(verb, urn, value)
            return
        if self._kind.is_base_urn(text) and verb != "remove":
            self._read_object(verb, value)
            return
        path = filters.parse_value_path(text)
        target = self._target(path)
        if target is None and path.path.urn is not None and self._is_foreign(path.path.urn, text):
            # What a provider keeps in a schema of its own must not block the rest of the message.
            checks.drop_unknown(text, value, self._dialect, self._notes)
            return
        if target is None:
            raise errors.invalid_path(
                f"{text[:100]} names no attribute of {self._kind.name}; see /Schemas for those there are."
            )
        self._read_target(verb, target, path.filter, value, in_object=False)

    def _is_foreign(self, urn: str, text: str) -> bool:
        """Whether the URN is of a schema that the kind does not have; in a lenient dialect such content is dropped."""
        return self._dialect.is_lenient and not any(
            self._kind.is_base_urn(known) or self._kind.extension_urn(known) is not None for known in (urn, text)
        )

    def _target(self, path: ValuePath) -> Target | None:
        try:
            target = self._kind.resolve(path.path, short_names=self._dialect.is_lenient)
        except AmbiguousName as error:
            raise errors.invalid_path(str(error)) from error
        if target is None or target.attribute is None:
            return None
        if target.extension is not None and path.path.urn is None:
            self._notes.rewrote("short-name")
        if path.sub is None:
            return target
        return with_sub(target.extension, target.attribute, path.sub)

    def _read_object(self, verb: Verb, value: object) -> None:
        """An operation without path: each attribute in the value by its own rule (RFC 7644 §3.5.2.1)."""
        if not isinstance(value, dict):
            raise errors.invalid_value(f"{verb} without a path needs an object of attributes as its value.")
        if len({key.lower() for key in value}) != len(value):
            raise errors.invalid_syntax("The value names one attribute twice, in two spellings; send it once.")
        for key, item in value.items():
            self._read_key(verb, key, item)

    def _read_key(self, verb: Verb, key: str, value: object) -> None:
        urn = self._kind.extension_urn(key)
        if urn is not None:
            self._read_extension(verb, urn, value)
            return
        if self._kind.is_base_urn(key) and self._allows("key-as-path"):
            self._read_object(verb, value)
            return
        path, target = self._key_target(key)
        is_plain = path is not None and path.filter is None and path.path.sub is None and path.path.urn is None
        if path is None or target is None or not (is_plain or "key-as-path" in self._dialect.rules):
            checks.drop_unknown(key, value, self._dialect, self._notes)
            return
        if not is_plain:
            # Entra with aadOptscim062020; vectors/entra-compliant-replace-dotted-keys.json
            self._notes.rewrote("key-as-path")
        self._read_target(verb, target, path.filter, value, in_object=True)

    def _key_target(self, key: str) -> tuple[ValuePath | None, Target | None]:
        try:
            path = filters.parse_value_path(key)
        except ScimError:
            if "[" in key and self._dialect.is_lenient:
                raise
            return None, None
        return path, self._target(path)

    def _read_extension(self, verb: Verb, urn: str, value: object) -> None:
        """The URN alone means the extension's whole object (spec M-026, M-030)."""
        if verb == "remove" or value is None:
            self._edit(verb, Target(urn, None))
            return
        if not isinstance(value, dict):
            raise errors.invalid_value(f"The value of {urn} must be an object with the extension's attributes.")
        schema = self._kind.extensions[urn]
        for name, item in checks.canonical_names(value, schema.find, f"{urn}:", self._dialect, self._notes).items():
            self._read_target(verb, Target(urn, schema.find(name)), None, item, in_object=True)

    # ------------------------------------------------------------------ what the hub keeps apart

    def _read_target(self, verb: Verb, target: Target, filter: Expression | None, value: object, *, in_object: bool) -> None:
        attribute, leaf = target.attribute, target.leaf
        if attribute is None or leaf is None:
            return
        value = self._unwrapped(leaf, value)
        if "readOnly" in (attribute.mutability, leaf.mutability):
            self._refuse_read_only(verb, target, value, in_object)
            return
        if filter is not None and not attribute.multi_valued:
            raise errors.invalid_path(f"{target.key} has one value only; a filter in brackets cannot choose among it.")
        if target.extension is None and attribute.name == "members" and self._kind.has_members:
            self._read_members(verb, target, filter, value)
        elif target.extension is None and attribute.name == "externalId":
            self._read_external_id(verb, value)
        elif target.extension is None and attribute.name == "schemas":
            self._read_schemas(verb, filter, value, in_object=in_object)
        elif verb == "remove":
            self._read_removal(target, filter, value)
        else:
            self._read_value(verb, target, filter, value)

    def _unwrapped(self, leaf: Attribute, value: object) -> object:
        # vectors/generic-value-nested-members.json: path members with the value {"members": […]}
        if isinstance(value, dict) and len(value) == 1:
            (name,) = value
            if name.lower() == leaf.name.lower() and leaf.find(name) is None and self._allows("value-repeats-name"):
                return value[name]
        return value

    def _refuse_read_only(self, verb: Verb, target: Target, value: object, in_object: bool) -> None:
        # Spec M-040: Okta names the id beside what it changes; vectors/okta-group-rename-pathless-with-id.json
        if target.key == "id" and verb != "remove" and value == self._stored_id:
            return
        if not (in_object and self._allows("read-only-ignored")):
            raise errors.mutability(f"{target.key} is read-only; leave it out.")

    def _read_members(self, verb: Verb, target: Target, filter: Expression | None, value: object) -> None:
        if target.sub is not None or (filter is not None and verb != "remove"):
            # RFC 7643 §4.2: the parts of a member are immutable.
            raise errors.mutability("A member cannot be changed in its parts; remove it and add another one.")
        # Spec M-051, as for every multi-valued attribute. An empty object is a list of nobody, not somebody without an id.
        value = [value] if value and isinstance(value, dict) else value
        if filter is not None:
            self.member_edit.remove(members.ids_in(filter))
        elif verb == "remove" and value is None:
            self.member_edit.replace(())
        elif verb == "remove":
            self._check_listed_removal(target)
            self.member_edit.remove(members.ids_of(value, self._dialect, self._notes))
        elif verb == "add":
            self.member_edit.add(members.ids_of(value, self._dialect, self._notes))
        else:
            self.member_edit.replace(members.ids_of(value, self._dialect, self._notes))

    def _read_external_id(self, verb: Verb, value: object) -> None:
        check = resource.external_id_check(self._kind, self._dialect)
        found = None if verb == "remove" or value is None else check(value, self._notes)
        self.external_id = ExternalIdEdit(found if isinstance(found, str) else None)

    def _read_schemas(self, verb: Verb, filter: Expression | None, value: object, *, in_object: bool) -> None:
        """``schemas`` follows from the attributes (spec M-045); only what contradicts that is refused."""
        urns = _listed(members.ids_in(filter, "schemas") if filter is not None else value)
        if value is not None and not all(isinstance(urn, str) for urn in urns):
            raise errors.invalid_value("schemas must be a list of URNs.")
        names_own = any(isinstance(urn, str) and self._kind.is_base_urn(urn) for urn in urns)
        if verb == "remove" and (names_own or (filter is None and value is None)):
            raise errors.mutability(f"schemas must keep {self._kind.base.id}; an extension goes with its last attribute.")
        # Beside other attributes it is a piece of a body, where the same rule infers it.
        is_inferred = in_object and "schemas-missing" in self._dialect.rules
        if verb == "replace" and not names_own and not is_inferred:
            raise errors.invalid_value(f"schemas must keep {self._kind.base.id}.")
        if verb == "replace":
            resource.check_schemas(value, self._kind, self._dialect, self._notes)
        self._notes.rewrote(dialects.SCHEMAS_COMPUTED)

    # ------------------------------------------------------------------ edits

    def _edit(
        self, verb: Verb, target: Target, value: object = None, choice: Choice | None = None, *, listed: bool = False
    ) -> None:
        self.edits.append(Edit(self._number, verb, target, value, choice, listed))

    def _checks(self, target: Target, attribute: Attribute) -> AttributeChecks:
        return checks.checks_of(self._kind, target.extension, attribute, self._dialect)

    def _read_removal(self, target: Target, filter: Expression | None, value: object) -> None:
        attribute, leaf = target.attribute, target.leaf
        if attribute is None or leaf is None or leaf.returned == "never":
            return
        is_listed = value is not None and leaf.multi_valued and (filter is None or target.sub is not None)
        if leaf.required and (target.sub is not None or (filter is None and not is_listed)):
            raise errors.mutability(f"{target.key} is required; it can be replaced but not removed.")
        if is_listed:
            self._check_listed_removal(target)
            compiled = self._checks(target, attribute)
            check = compiled.whole if target.sub is None else compiled.subs[target.sub.name]
            choice = self._choice("remove", target, filter)
            self._edit("remove", target, check(value, self._notes), choice, listed=True)
            return
        self._edit("remove", target, choice=self._choice("remove", target, filter))

    def _check_listed_removal(self, target: Target) -> None:
        # Spec M-066: the RFC knows no such form, and to read it as "remove all" would empty a group for one leaver.
        if not self._allows("listed-removal"):
            raise errors.invalid_syntax(f"A remove takes no value; write {target.key}[value eq …] as its path.")

    def _read_value(self, verb: Verb, target: Target, filter: Expression | None, value: object) -> None:
        attribute, leaf = target.attribute, target.leaf
        if attribute is None or leaf is None:
            return
        compiled = self._checks(target, attribute)
        if target.sub is not None:
            found = self._checked(compiled.subs[target.sub.name], self._unlisted(target.sub, value))
        elif filter is not None:
            is_listed = isinstance(value, list) and len(value) == 1 and self._allows("list-for-single")
            found = self._checked(compiled.element, value[0] if isinstance(value, list) and is_listed else value)
        elif not attribute.multi_valued and attribute.is_complex:
            self._read_parts(verb, target, attribute, value)
            return
        else:
            # Spec M-051: one object in place of a list of one is understood in every dialect.
            is_object = attribute.multi_valued and attribute.is_complex and isinstance(value, dict)
            found = self._checked(compiled.whole, [value] if is_object else self._unlisted(attribute, value))
        self._keep(verb, target, filter, leaf, found)

    def _checked(self, check: checks.Check, value: object) -> object:
        return None if value is None else check(value, self._notes)

    def _keep(self, verb: Verb, target: Target, filter: Expression | None, leaf: Attribute, found: object) -> None:
        """Make the edit that sets a value which passed its check."""
        if leaf.returned == "never" or (target.attribute is not None and target.attribute.returned == "never"):
            return
        if leaf.required and found in (None, ""):
            raise errors.invalid_value(f"{target.key} is required; send a value that is not empty.")
        if found is None and verb == "add" and (leaf.multi_valued or (target.sub is None and filter is not None)):
            # RFC 7643 §2.5: null and an empty list are no value, and there is nothing to add.
            return
        self._edit(verb, target, found, self._choice(verb, target, filter))

    def _unlisted(self, leaf: Attribute, value: object) -> object:
        # Old Entra form (spec M-078): emails[type eq "work"].value, or active, with the value [{"value": "…"}]
        is_simple = not (leaf.is_complex or leaf.multi_valued)
        if is_simple and isinstance(value, list) and len(value) == 1:
            inner = value[0]
            if isinstance(inner, dict) and "value" in inner and self._allows("wrapped-value"):
                return inner["value"]
        return value

    def _read_parts(self, verb: Verb, target: Target, attribute: Attribute, value: object) -> None:
        """A singular complex value: its parts are set, those that it does not name stay (spec M-054, M-073)."""
        where = target.key
        if not isinstance(value, dict):
            value = self._checked(self._checks(target, attribute).whole, value)
        if not isinstance(value, dict):
            self._keep(verb, target, None, attribute, None)
            return
        parts = checks.canonical_names(value, attribute.find, f"{where}.", self._dialect, self._notes)
        # `value` first: with it goes the `$ref` of what was there, not the one that is sent beside it.
        for name in sorted(parts, key=lambda name: name != "value"):
            sub = attribute.find(name)
            if sub is not None and sub.mutability != "readOnly":
                self._read_value(verb, Target(target.extension, attribute, sub), None, parts[name])

    def _choice(self, verb: Verb, target: Target, filter: Expression | None) -> Choice | None:
        if filter is None or target.attribute is None:
            return None
        whole = Target(target.extension, target.attribute)
        condition = filters.bind_inside(filter, whole, lenient=self._dialect.is_lenient, notes=self._notes)
        return Choice(condition, None if verb == "remove" else self._seed(whole, target.attribute, filter))

    def _seed(self, target: Target, attribute: Attribute, filter: Expression) -> Mapping[str, object] | None:
        """The element that the filter describes with ``eq`` and ``and`` alone; None when it says anything else."""
        seed: dict[str, object] = {}
        for term in filter.terms if isinstance(filter, All) else (filter,):
            if not isinstance(term, Test) or term.operator != "eq" or term.value is None:
                return None
            sub = attribute.find(term.path.name)
            if not attribute.is_complex:
                continue
            if sub is None or sub.mutability == "readOnly":
                return None
            try:
                # The binding has noted what was rewritten in the literal.
                found = self._checks(target, attribute).subs[sub.name](term.value, Notes())
            except ScimError:
                found = None
            if found is None:
                # It may be asked for where it is stored, but nobody may store it now.
                return None
            seed[sub.name] = found
        return seed


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]
