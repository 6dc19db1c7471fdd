"""Which names need their URN once the schemas of a directory have changed: told to whoever changed them.

Identity providers send attributes of extensions without their URN (DECISIONS 17). Whoever adds a schema may not know which.
"""

from collections.abc import Iterator

from scimhub.scim.catalog import COMMON_NAMES, Catalog, Kind

# The schemas that know a name, in lower case; None stands for what all resources have.
_Homes = dict[str, tuple[str | None, ...]]


def tell_unclear(before: Catalog, after: Catalog) -> tuple[str, ...]:
    """A sentence for each name that one schema of a type knew alone, or that is new, and that several know now."""
    return tuple(
        sentence
        for name, kind in after.kinds.items()
        for sentence in _of_kind(_homes(before.kinds[name]) if name in before.kinds else {}, kind)
    )


def _of_kind(former: _Homes, kind: Kind) -> Iterator[str]:
    for name, homes in _homes(kind).items():
        if len(homes) < 2 or homes == former.get(name):
            continue
        first, *others = homes
        written = _written(kind, name)
        if first is None or first == kind.base.id:
            whole = " or ".join(f"{urn}:{written}" for urn in others)
            yield f"In {kind.name} the name {written} alone stays that of {first or 'every resource'}; the new one is {whole}."
        else:
            urns = " and of ".join(str(urn) for urn in homes)
            yield (
                f"In {kind.name} the name {written} is an attribute of {urns}: from now on it needs its URN in front, and "
                "a source that sends it without is refused."
            )


def _homes(kind: Kind) -> _Homes:
    homes: _Homes = {name.lower(): (None,) for name in COMMON_NAMES}
    for schema in (kind.base, *kind.extensions.values()):
        for attribute in schema.attributes:
            name = attribute.name.lower()
            homes[name] = (*homes.get(name, ()), schema.id)
    return homes


def _written(kind: Kind, name: str) -> str:
    """The name as the first of the schemas that know it writes it."""
    found = next(found for schema in (kind.base, *kind.extensions.values()) if (found := schema.find(name)) is not None)
    return found.name
