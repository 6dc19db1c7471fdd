"""Which attributes differ between two states of a document."""

from collections.abc import Collection, Mapping

from scimhub.scim import normal
from scimhub.scim.catalog import Kind
from scimhub.scim.schema import Attribute, Schema


def changed_paths(
    before: Mapping[str, object], after: Mapping[str, object], kind: Kind, names: Collection[str] | None = None
) -> dict[str, object]:
    """The path of each attribute that differs, with its value before, None where it had none.

    A path is a top-level attribute, one of an extension with its URN in front, or a part of a singular complex attribute;
    a multi-valued attribute is one value, in which the order counts. ``schemas`` follows from the rest and is left out.
    Putting the values back at their paths gives the state before. ``names`` are the top-level names in which they differ,
    where that is known.
    """
    changed: dict[str, object] = {}
    names = normal.differing_names(before, after) if names is None else names
    if names:
        _compare(before, after, kind.base, "", changed, names)
    for urn, schema in kind.extensions.items():
        if urn in names:
            old, new = _object(before.get(urn)), _object(after.get(urn))
            _compare(old, new, schema, f"{urn}:", changed, normal.differing_names(old, new))
    return changed


def _compare(
    before: Mapping[str, object],
    after: Mapping[str, object],
    schema: Schema,
    prefix: str,
    changed: dict[str, object],
    names: Collection[str],
) -> None:
    for attribute in schema.attributes:
        if attribute.name not in names:
            continue
        old, new = before.get(attribute.name), after.get(attribute.name)
        if attribute.is_complex and not attribute.multi_valued:
            _compare_parts(_object(old), _object(new), attribute, f"{prefix}{attribute.name}.", changed)
        else:
            changed[f"{prefix}{attribute.name}"] = old


def _compare_parts(
    before: Mapping[str, object], after: Mapping[str, object], attribute: Attribute, prefix: str, changed: dict[str, object]
) -> None:
    for sub in attribute.sub_attributes:
        if before.get(sub.name) != after.get(sub.name):
            changed[f"{prefix}{sub.name}"] = before.get(sub.name)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def flat_values(document: Mapping[str, object]) -> dict[str, object]:
    """The values of any document by path, without a schema: as above, each attribute of an object named ``urn:…`` one."""
    flat: dict[str, object] = {}
    for name, value in document.items():
        # JSON has no other objects, and to ask for any mapping takes longer than all the rest.
        if not isinstance(value, dict):
            flat[name] = value
            continue
        joint = ":" if name.startswith("urn:") else "."
        flat |= {f"{name}{joint}{part}": item for part, item in value.items()}
    return flat
