"""Attributes compiled to checks: functions that take what was sent for one attribute and give what is kept of it.

A check returns the value as sent, with canonical names inside and without unassigned parts, or None when nothing is
assigned. It raises ScimError when the value is wrong and no rule of the dialect mends it. Checks are built once for
each attribute and dialect; the dialect is asked only where a value does not fit, so that proper values cost little.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from scimhub.scim import dialects, errors, formats, values
from scimhub.scim.catalog import Kind, Target
from scimhub.scim.dialects import Dialect
from scimhub.scim.errors import ScimError
from scimhub.scim.formats import Format
from scimhub.scim.notes import Notes
from scimhub.scim.schema import Attribute

Check = Callable[[object, Notes], object]
# What becomes of a value that does not fit: a rule mends it and the check is asked again, or it is refused.
Misfit = Callable[[object, Notes, Check], object]
Mend = Callable[[Attribute, object, Dialect], tuple[object, str] | None]


@dataclass(frozen=True, slots=True)
class AttributeChecks:
    """The checks of one attribute: of the whole value, of one element of it, and of each sub-attribute by its name."""

    whole: Check
    element: Check
    subs: Mapping[str, Check]


@lru_cache(maxsize=4096)
def checks_of(kind: Kind, extension: str | None, attribute: Attribute, dialect: Dialect) -> AttributeChecks:
    """The compiled checks of an attribute of the kind's base schema, or of the extension with that URN."""
    builder = _Builder(extension or kind.base.id, dialect)
    where = f"{extension}:{attribute.name}" if extension else attribute.name
    subs = builder.subs(attribute, where)
    element = builder.element(attribute, where, subs, dialects.mend_element if attribute.multi_valued else dialects.mend)
    return AttributeChecks(builder.several(attribute, where, element) if attribute.multi_valued else element, element, subs)


def ignored(value: object, notes: Notes) -> None:
    """The check of a read-only attribute: what is sent for it has no effect (RFC 7644 §3.3, §3.5.1)."""
    if isinstance(value, dict | list):
        notes.has_unread = True


def checked_elsewhere(value: object, notes: Notes) -> None:
    """The check of what is no part of the document and has a check of its own."""


def drop_unknown(path: str, value: object, dialect: Dialect, notes: Notes) -> None:
    """Note that no schema knows the path, or refuse it in a strict dialect."""
    if "unknown-attribute" not in dialect.rules:
        raise errors.invalid_syntax(f"{path[:100]} is no attribute of the resource's schemas; leave it out.")
    notes.drop(path[:200], value)


def check_required_parts(target: Target, value: object) -> None:
    """Raise ScimError invalidValue when a value of the complex attribute lacks a required sub-attribute."""
    required = () if target.attribute is None else _required_parts(target.attribute)
    if not required or value is None:
        return
    for element in value if isinstance(value, list) else [value]:
        for name in required:
            if isinstance(element, dict) and element.get(name) in (None, ""):
                where = target.key
                raise errors.invalid_value(f"{where}.{name} is required; send a value for it with every {where}.")


@lru_cache(maxsize=4096)
def _required_parts(attribute: Attribute) -> tuple[str, ...]:
    return tuple(sub.name for sub in attribute.sub_attributes if sub.required and sub.mutability != "readOnly")


def one_primary(elements: list[object], written: Iterable[int], where: str, dialect: Dialect, notes: Notes) -> list[object]:
    """The elements with at most one primary (RFC 7643 §2.4): of those just written the last that is, else as they are.

    ``written`` are the places of the elements that the request set. Two of them that are primary are refused, or in a
    lenient dialect the last one wins; the others lose the flag without a word (RFC 7644 §3.5.2).
    """
    chosen = [place for place in written if _is_primary(elements[place])]
    if not chosen:
        return elements
    if len(chosen) > 1 and not dialects.allows(dialect, "two-primaries", notes):
        raise errors.invalid_value(f"{len(chosen)} values of {where} are primary; at most one can be.")
    return [
        {**element, "primary": False} if place != chosen[-1] and isinstance(element, dict) and _is_primary(element) else element
        for place, element in enumerate(elements)
    ]


def _is_primary(element: object) -> bool:
    return isinstance(element, dict) and element.get("primary") is True


# --------------------------------------------------------------------------- building


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds the checks of one schema's attributes for one dialect."""

    schema: str
    dialect: Dialect

    def subs(self, attribute: Attribute, where: str) -> Mapping[str, Check]:
        refers = attribute.find("$ref") is not None
        subs = attribute.sub_attributes
        if attribute.returned == "never":
            # A PATCH may name a part of what is never returned, which is kept no more than the whole.
            subs = tuple(replace(sub, returned="never") for sub in subs)
        return {sub.name: self._sub(sub, attribute, where, refers) for sub in subs}

    def _sub(self, sub: Attribute, parent: Attribute, where: str, refers: bool) -> Check:
        if sub.mutability == "readOnly":
            return ignored
        path, local = f"{where}.{sub.name}", f"{parent.name}.{sub.name}"
        # RFC 7643 §2.4: beside $ref, value is the identifier of what is referred to.
        names_resource = sub.type == "reference" or (refers and sub.name == "value")
        mend = dialects.mend_element if sub.multi_valued else dialects.mend_id if names_resource else dialects.mend
        check = self._simple(sub, path, local, mend, names_resource)
        return self.several(sub, path, check) if sub.multi_valued else check

    def element(self, attribute: Attribute, where: str, subs: Mapping[str, Check], mend: Mend) -> Check:
        """The check of one value of the attribute."""
        if not attribute.is_complex:
            return self._simple(attribute, where, attribute.name, mend, attribute.type == "reference")
        misfit = self._misfit(attribute, where, mend)
        return _forgetting(object_check(subs, attribute.find, f"{where}.", self.dialect, misfit), attribute, where)

    def _simple(self, attribute: Attribute, where: str, local: str, mend: Mend, names_resource: bool) -> Check:
        misfit = self._misfit(attribute, where, mend)
        form = None if self.dialect.is_lenient else formats.find(self.schema, local)
        if attribute.type == "boolean":
            check = _boolean_check(misfit)
        elif attribute.type == "string" and not (names_resource or form):
            check = _text_check(misfit)
        else:
            check = _other_check(where, misfit, form, names_resource)
        return _forgetting(check, attribute, where)

    def _misfit(self, attribute: Attribute, where: str, mend: Mend) -> Misfit:
        def misfit(value: object, notes: Notes, check: Check) -> object:
            found = mend(attribute, value, self.dialect)
            if found is not None:
                notes.rewrote(found[1])
                return None if found[0] is None else check(found[0], notes)
            if attribute.is_complex:
                raise errors.invalid_value(f"The value of {where} must be an object with the parts of {attribute.name}.")
            values.check(attribute, value, where)
            return value

        return misfit

    def several(self, attribute: Attribute, where: str, element: Check) -> Check:
        """The check of a multi-valued attribute."""
        dialect = self.dialect
        has_primary = attribute.find("primary") is not None

        def check(value: object, notes: Notes) -> object:
            if type(value) is not list:
                mended = dialects.mend(attribute, value, dialect)
                if mended is None:
                    raise errors.invalid_value(f"The value of {where} must be a list.")
                notes.rewrote(mended[1])
                return None if mended[0] is None else check(mended[0], notes)
            kept = [found for item in value if (found := element(item, notes)) is not None]
            if has_primary and len(kept) > 1:
                kept = one_primary(kept, range(len(kept)), where, dialect, notes)
            return kept or None

        return check


def object_check(
    checks: Mapping[str, Check], find: Callable[[str], Attribute | None], prefix: str, dialect: Dialect, misfit: Misfit
) -> Check:
    """The check of an object whose members have these checks; ``find`` knows their names in any case."""
    names = checks.keys()

    def check(value: object, notes: Notes) -> object:
        if type(value) is not dict:
            return misfit(value, notes, check)
        parts = value if value.keys() <= names else canonical_names(value, find, prefix, dialect, notes)
        return assigned(parts, checks, notes) or None

    return check


def assigned(parts: Mapping[str, object], checks: Mapping[str, Check], notes: Notes) -> dict[str, object]:
    """What the checks keep of the parts, which have canonical names."""
    kept = {}
    for name, item in parts.items():
        if item is not None:
            found = checks[name](item, notes)
            if found is not None:
                kept[name] = found
    return kept


def canonical_names(
    value: Mapping[str, object], find: Callable[[str], Attribute | None], prefix: str, dialect: Dialect, notes: Notes
) -> Mapping[str, object]:
    parts: dict[str, object] = {}
    for name, item in value.items():
        attribute = find(name)
        if attribute is None:
            drop_unknown(f"{prefix}{name}", item, dialect, notes)
        elif attribute.name in parts:
            raise errors.invalid_syntax(f"{prefix}{attribute.name} stands twice, in two spellings; send it once.")
        else:
            parts[attribute.name] = item
    return parts


def _text_check(misfit: Misfit) -> Check:
    def check(value: object, notes: Notes) -> object:
        # By far the most frequent case; what is not plain ASCII is looked at by values.check.
        if type(value) is str and value.isascii() and "\0" not in value:
            return value
        return misfit(value, notes, check)

    return check


def _boolean_check(misfit: Misfit) -> Check:
    def check(value: object, notes: Notes) -> object:
        return value if type(value) is bool else misfit(value, notes, check)

    return check


def _other_check(where: str, misfit: Misfit, form: Format | None, names_resource: bool) -> Check:
    """Numbers, dates and binaries, and strings with more to say than that they are strings."""
    is_reference = names_resource and form is None

    def check(value: object, notes: Notes) -> object:
        if is_reference and type(value) is str and value and value.isascii() and "\0" not in value and value[:7] != "bulkId:":
            return value
        kept = misfit(value, notes, check)
        if kept is not value or not isinstance(value, str) or value == "":
            return kept
        if names_resource and value.startswith("bulkId:"):
            # RFC 7643 §3.1: such a text is a place holder within one bulk request and is never kept.
            raise errors.invalid_value(f"The value of {where} is a bulkId; outside a bulk request send the resource's id.")
        if form is not None and (wrong := form(value)):
            raise errors.invalid_value(f"The value of {where} {wrong}.")
        return value

    return check


def _forgetting(check: Check, attribute: Attribute, where: str) -> Check:
    """The check itself, or for what is never returned one that keeps nothing and tells nothing of the value."""
    if attribute.returned != "never":
        return check

    def forget(value: object, notes: Notes) -> None:
        try:
            found = check(value, notes)
        except ScimError:
            raise errors.invalid_value(f"The value of {where} does not fit its type, {attribute.type}.") from None
        if found is not None:
            notes.rewrote(dialects.PASSWORD_NOT_KEPT)

    return forget
