"""The allow-list of a subscription: which paths of a resource a destination may see."""

from collections.abc import Iterator

from scimhub.scim import paths
from scimhub.scim.catalog import AmbiguousName, Catalog, Kind, Target
from scimhub.scim.errors import ScimError


def bind(names: tuple[str, ...], catalog: Catalog, problems: list[str]) -> tuple[str, ...] | None:
    """The keys of the allow-list's paths; None without a list. Every mistake is added to ``problems``."""
    if not names:
        return None
    visible: set[str] = set()
    for name in names:
        found = {target.key for target in _targets(name, catalog, problems)}
        if not found:
            problems.append(f"The attribute {name[:80]!r} of the allow-list is one of no resource type of the directory.")
        visible |= found
    return tuple(sorted(visible))


def untold(names: tuple[str, ...], catalog: Catalog, before: tuple[str, ...] = ()) -> list[str]:
    """A sentence for each name of an allow-list that lets nothing be seen, since it is never returned.

    A destination that has had the list ``before`` goes on with what else it may see.
    """
    if names == before:
        return []
    return [
        f"The attribute {name[:80]!r} of the allow-list is never returned, and no event has it; leave it out."
        for name in names
        if (found := list(_targets(name, catalog, []))) and all(map(_is_never_returned, found))
    ]


def shows(path: str, visible: tuple[str, ...] | None) -> bool:
    """Whether the allow-list shows something of what lies at the path of a change."""
    if visible is None:
        return True
    return any(path == one or path.startswith((f"{one}.", f"{one}:")) or one.startswith(f"{path}.") for one in visible)


def _targets(name: str, catalog: Catalog, problems: list[str]) -> Iterator[Target]:
    for kind in catalog.kinds.values():
        target = _resolve(name, kind, problems)
        if target is not None:
            yield target


def _resolve(name: str, kind: Kind, problems: list[str]) -> Target | None:
    try:
        return kind.resolve(paths.parse_attribute(name), short_names=True)
    except AmbiguousName as error:
        problems.append(f"The allow-list is ambiguous: {error}")
    except ScimError:
        pass  # what is no path is an attribute of no resource type, which the caller says
    return None


def _is_never_returned(target: Target) -> bool:
    return any(part is not None and part.returned == "never" for part in (target.attribute, target.leaf))
