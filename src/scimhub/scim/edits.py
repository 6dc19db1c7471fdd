"""One change to one attribute of a document, as an operation of a PATCH asks for it (RFC 7644 §3.5.2).

An edit never changes what it is given: it makes a new value of the attribute and copies only what it touches. Values in
it were checked when the operation was read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from scimhub.scim import checks, dialects, errors, matching, normal
from scimhub.scim.catalog import Kind, Target
from scimhub.scim.dialects import Dialect
from scimhub.scim.filters import Condition
from scimhub.scim.notes import Notes
from scimhub.scim.schema import Attribute

Verb = Literal["add", "remove", "replace"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which elements a path in brackets means. ``seed`` is the element to create when there is none, None if unclear."""

    condition: Condition
    seed: Mapping[str, object] | None


class Edit(NamedTuple):
    """What operation ``number`` does to its target. ``value`` is None where the target becomes unassigned.

    With ``listed`` the elements equal to those in ``value`` are removed.
    """

    number: int
    verb: Verb
    target: Target
    value: object = None
    choice: Choice | None = None
    listed: bool = False


def effort(edit: Edit, document: Mapping[str, object]) -> int:
    """How many comparisons the edit may take: each element with each test of its filter, or with each listed value."""
    attribute, extension, sub = edit.target.attribute, edit.target.extension, edit.target.sub
    holder = document if extension is None else document.get(extension)
    found = holder.get(attribute.name) if attribute is not None and isinstance(holder, dict) else None
    amount = len(found) if isinstance(found, list) else 0
    if sub is not None and sub.multi_valued:
        parts = [element.get(sub.name) for element in _listed(found) if isinstance(element, Mapping)]
        amount += sum(len(part) for part in parts if isinstance(part, list))
    if edit.listed and isinstance(edit.value, list):
        return 1 + amount * (1 + len(edit.value))
    return 1 + amount * (1 if edit.choice is None else 1 + matching.count_tests(edit.choice.condition))


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


def apply_edit(edit: Edit, document: dict[str, object], kind: Kind, dialect: Dialect, notes: Notes) -> None:
    """Carry out the edit on ``document``, whose values are shared and stay as they are; raises ScimError."""
    extension, attribute = edit.target.extension, edit.target.attribute
    if attribute is None:
        _remove_extension(edit, document, kind)
        return
    found = document if extension is None else document.get(extension)
    holder = found if isinstance(found, dict) else {}
    old = holder.get(attribute.name)
    new = _edited(edit, attribute, old, dialect, notes)
    if new is old:
        return
    _check_outcome(edit, attribute, old, new)
    if extension is not None:
        holder = dict(holder)
    if new is None:
        holder.pop(attribute.name, None)
    else:
        holder[attribute.name] = new
    if extension is not None and holder:
        document[extension] = holder
    elif extension is not None:
        # Spec M-046: an extension without values is not there.
        document.pop(extension, None)


def _remove_extension(edit: Edit, document: dict[str, object], kind: Kind) -> None:
    urn = edit.target.extension
    if urn is None:
        return
    if urn in kind.required_extensions:
        raise errors.mutability(f"{kind.name} requires the extension {urn}; it cannot be removed.")
    found = document.pop(urn, {})
    for attribute in kind.extensions[urn].attributes:
        if attribute.mutability == "immutable" and isinstance(found, dict) and attribute.name in found:
            # RFC 7643 §7: what could not be removed alone does not go with the rest either.
            raise errors.mutability(f"{urn}:{attribute.name} is immutable, so the extension cannot be removed; leave it.")


def _check_outcome(edit: Edit, attribute: Attribute, old: object, new: object) -> None:
    target = edit.target if edit.target.sub is None else Target(edit.target.extension, attribute)
    if new is None and attribute.required:
        # RFC 7644 §3.5.2.2: a required attribute that becomes unassigned is a mutability error.
        raise errors.mutability(f"{target.key} is required; it can be replaced but not removed.")
    if attribute.mutability == "immutable" and old is not None:
        form = normal.of_attribute(attribute)
        if form(old) != form(new):
            raise errors.mutability(f"{target.key} is immutable and has a value already; leave it out.")
    if edit.verb != "remove":
        checks.check_required_parts(target, new)


def _edited(edit: Edit, attribute: Attribute, old: object, dialect: Dialect, notes: Notes) -> object:
    """The attribute's new value, None for unassigned; the old one itself when nothing differs."""
    sub, value = edit.target.sub, edit.value
    if not attribute.multi_valued:
        if sub is None:
            return value
        return _with_part(edit, attribute, old if isinstance(old, dict) else {}, sub)
    elements = old if isinstance(old, list) else []
    if edit.listed and sub is None:
        return _without_listed(attribute, elements, value)
    if edit.choice is not None or sub is not None:
        return _chosen_edited(edit, attribute, elements, dialect, notes)
    if edit.verb == "add" and isinstance(value, list):
        return _appended(edit, attribute, elements, value, dialect, notes)
    return value


# --------------------------------------------------------------------------- one element


def _with_part(edit: Edit, attribute: Attribute, element: Mapping[str, object], sub: Attribute) -> object:
    """The element with another value of one sub-attribute; None when nothing is left of it."""
    value, held = edit.value, element.get(sub.name)
    if edit.listed:
        value = _without_listed(sub, held if isinstance(held, list) else [], value)
    elif edit.verb == "add":
        value = _joined(sub, held, value)
    changed = dict(element)
    if value is None:
        changed.pop(sub.name, None)
    else:
        changed[sub.name] = value
    if sub.name == "value" and element.get("value") != value:
        # What the old reference pointed to is not what the new value names, or nothing does any more.
        changed.pop("$ref", None)
    return _checked_element(attribute, element, changed) or None


def _merged(attribute: Attribute, element: object, parts: object) -> object:
    """The element with the given sub-attributes; those that are the same in normal form stay as they were sent."""
    if not isinstance(element, dict) or not isinstance(parts, dict):
        return parts
    old, new = _form(attribute, element), _form(attribute, parts)
    differing = {
        name: _joined(attribute.find(name), element.get(name), part)
        for name, part in parts.items()
        if new.get(name) != old.get(name, False if name == "primary" else None)
    }
    return _checked_element(attribute, element, {**element, **differing}) if differing else element


def _joined(sub: Attribute | None, held: object, added: object) -> object:
    """What an add makes of a sub-attribute: one with several values keeps those that it has (RFC 7644 §3.5.2.1)."""
    if sub is None or not isinstance(held, list) or not isinstance(added, list):
        return added
    form, joined = normal.of_element(sub), list(held)
    known = {form(item) for item in held}
    for item in added:
        if form(item) not in known:
            known.add(form(item))
            joined.append(item)
    return joined


def _replaced(attribute: Attribute, element: object, value: object) -> object:
    """The new record in place of the old, with what the client cannot set (spec M-074)."""
    if not isinstance(element, dict) or not isinstance(value, dict):
        return value
    fixed = [sub.name for sub in attribute.sub_attributes if sub.mutability in ("readOnly", "immutable")]
    return _checked_element(attribute, element, {**{name: element[name] for name in fixed if name in element}, **value})


def _checked_element(attribute: Attribute, old: Mapping[str, object], new: dict[str, object]) -> dict[str, object]:
    for sub in attribute.sub_attributes:
        if sub.mutability == "immutable" and old.get(sub.name) is not None:
            form = normal.of_attribute(sub)
            if form(old[sub.name]) != form(new.get(sub.name)):
                raise errors.mutability(f"{attribute.name}.{sub.name} is immutable; remove the value and add another one.")
    return new


def _form(attribute: Attribute, element: object) -> Mapping[str, object]:
    found = normal.of_element(attribute)(element)
    return found if isinstance(found, Mapping) else {}


# --------------------------------------------------------------------------- several elements


def _chosen_edited(edit: Edit, attribute: Attribute, elements: Sequence[object], dialect: Dialect, notes: Notes) -> object:
    """The elements after an edit of those that a filter chose, or without filter of all."""
    places = _chosen(edit, attribute, elements)
    sub, value = edit.target.sub, edit.value
    if not places:
        return _created(edit, attribute, elements, dialect, notes)
    changed: list[object] = list(elements)
    for place in places:
        element = elements[place]
        if sub is not None:
            changed[place] = _with_part(edit, attribute, element if isinstance(element, dict) else {}, sub)
        elif value is None:
            changed[place] = None
        elif edit.verb == "add":
            changed[place] = _merged(attribute, element, value)
        else:
            changed[place] = _replaced(attribute, element, value)
    if _sets_primary(edit):
        changed = checks.one_primary(changed, places, edit.target.key, dialect, notes)
    return [element for element in changed if element is not None] or None


def _chosen(edit: Edit, attribute: Attribute, elements: Sequence[object]) -> list[int]:
    if edit.choice is None:
        return list(range(len(elements)))
    condition, form = edit.choice.condition, normal.of_element(attribute)
    return [place for place, element in enumerate(elements) if matching.element_matches(condition, attribute, form(element))]


def _sets_primary(edit: Edit) -> bool:
    if edit.target.sub is not None:
        return edit.target.sub.name == "primary" and edit.value is True
    return isinstance(edit.value, dict) and edit.value.get("primary") is True


def _created(edit: Edit, attribute: Attribute, elements: Sequence[object], dialect: Dialect, notes: Notes) -> object:
    """The elements with the one that the path meant and that was not there (spec M-055, M-076)."""
    if edit.verb == "remove":
        # Spec M-064: to remove what is not there is no mistake.
        return list(elements) or None
    if edit.choice is not None:
        # Entra counts on the creation; vectors/entra-add-work-email-when-none.json. RFC 7644 §3.5.2.3 forbids it for replace.
        is_allowed = dialects.allows(dialect, "element-created", notes)
        if edit.choice.seed is None or (edit.verb == "replace" and not is_allowed):
            raise errors.no_target(
                f"No value of {Target(edit.target.extension, attribute).key} matches the filter of the path; add one."
            )
    if edit.value is None:
        return list(elements) or None
    seed = edit.choice.seed if edit.choice is not None and edit.choice.seed is not None else {}
    element: object = edit.value
    if edit.target.sub is not None:
        element = {**seed, edit.target.sub.name: edit.value}
    elif isinstance(edit.value, dict):
        element = {**seed, **edit.value}
    created = [*elements, element]
    if attribute.find("primary") is None:
        return created
    return checks.one_primary(created, [len(elements)], edit.target.key, dialect, notes)


def _appended(
    edit: Edit, attribute: Attribute, elements: Sequence[object], added: Sequence[object], dialect: Dialect, notes: Notes
) -> object:
    """The elements with those that are new; one that is there already is not added twice (RFC 7644 §3.5.2.1)."""
    places = {_identity(attribute, element): place for place, element in enumerate(elements)}
    changed: list[object] = list(elements)
    written = []
    for element in added:
        place = places.setdefault(_identity(attribute, element), len(changed))
        if place == len(changed):
            changed.append(element)
        elif isinstance(element, dict):
            changed[place] = _merged(attribute, changed[place], element)
        if isinstance(element, dict) and element.get("primary") is True:
            written.append(place)
    return checks.one_primary(changed, sorted(set(written)), edit.target.key, dialect, notes) if written else changed


def _identity(attribute: Attribute, element: object) -> object:
    """What makes two elements the same: type and value (RFC 7643 §2.4), without a value all sub-attributes."""
    form = normal.of_element(attribute)(element)
    if not isinstance(form, Mapping):
        return form
    if form.get("value") is not None:
        # Sub-attributes of an administrator's own may have several values.
        return tuple(tuple(part) if isinstance(part, list) else part for part in (form["value"], form.get("type")))
    return tuple(sorted((name, repr(part)) for name, part in form.items() if not (name == "primary" and part is False)))


def _without_listed(attribute: Attribute, elements: Sequence[object], listed: object) -> object:
    """The elements that are not among the listed; of an object only the parts that it names are compared."""
    form = normal.of_element(attribute)
    unwanted = [form(item) for item in listed] if isinstance(listed, list) else []
    forms = [form(element) for element in elements]
    kept = [element for element, own in zip(elements, forms, strict=True) if not any(_covers(item, own) for item in unwanted)]
    return kept or None


def _covers(item: object, element: object) -> bool:
    if isinstance(item, Mapping) and isinstance(element, Mapping):
        return all(element.get(name, False if name == "primary" else None) == part for name, part in item.items())
    return item == element
