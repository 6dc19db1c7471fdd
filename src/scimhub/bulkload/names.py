"""Names of resources within one file, and references to them.

A manager or a member is named by ``userName``, ``externalId``, a group by ``displayName`` too, or by an ``id`` that holds in
the file only. To know many names at once, each is kept as 64 bits of its hash. Two names that share one would, once in tens of
millions of files with a million rows, be taken for one another; what follows is refused or left alone, never removed.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, cast

from scimhub.scim import paths, values
from scimhub.scim.catalog import ENTERPRISE_URN, Kind
from scimhub.scim.schema import Attribute

# By what a reference may name somebody, the surest first.
REFERENCE_NAMES = ("userName", "externalId", "displayName")


class Name(NamedTuple):
    """What a resource is called: the kind, the attribute, the value in normal form."""

    kind: str
    attribute: str
    value: str

    @property
    def digest(self) -> int:
        """64 bits that stand for the name."""
        return int.from_bytes(self.hash(8))

    def hash(self, size: int, salt: bytes = b"") -> bytes:
        """So many bytes of the name's hash."""
        return blake2b("\0".join(self).encode("utf-8", "surrogatepass"), digest_size=size, salt=salt[:16]).digest()


def name_of(kind: Kind, attribute: str, value: object) -> Name | None:
    """The name by that attribute; None when the value is none or the kind has no such attribute."""
    if not isinstance(value, str) or not value:
        return None
    if attribute == "id":
        return Name(kind.name, attribute, value)
    target = kind.resolve(paths.parse_attribute(attribute), short_names=False)
    if target is None or target.attribute is None:
        return None
    return Name(kind.name, attribute, str(values.normal(target.attribute, value)))


def value_in(resource: Mapping[str, object], attribute: str) -> object:
    """The value of a top-level attribute that may be written in any case."""
    found = resource.get(attribute)
    if found is None:
        found = next((value for name, value in resource.items() if name.lower() == attribute.lower()), None)
    return found


def own_names(kind: Kind, resource: Mapping[str, object]) -> list[Name]:
    """All that others may call the resource."""
    # A user's displayName is nobody's name.
    attributes = REFERENCE_NAMES if kind.has_members else REFERENCE_NAMES[:2]
    found = (name_of(kind, attribute, value_in(resource, attribute)) for attribute in attributes)
    return [name for name in found if name is not None]


def unique_names(kind: Kind, resource: Mapping[str, object]) -> list[Name]:
    """Its values of attributes that no two resources of the kind may share."""
    found: list[Name] = []
    for urn, attribute in _unique(kind):
        holder = resource if urn is None else resource.get(urn)
        value = value_in(holder, attribute.name) if isinstance(holder, Mapping) else None
        if value not in (None, "") and isinstance(value, str | int | float):
            path = attribute.name if urn is None else f"{urn}:{attribute.name}"
            found.append(Name(kind.name, path, str(values.normal(attribute, value))))
    return found


@lru_cache(maxsize=256)
def _unique(kind: Kind) -> tuple[tuple[str | None, Attribute], ...]:
    schemas = ((None, kind.base), *kind.extensions.items())
    return tuple(
        (urn, attribute) for urn, schema in schemas for attribute in schema.attributes if attribute.uniqueness != "none"
    )


# --------------------------------------------------------------------------- references


class Reference(NamedTuple):
    """Somebody whom a resource names: what it says, and by what attribute; ``name`` is None where only an id is given."""

    said: dict[str, object]
    attribute: str | None
    value: str

    def names(self, kinds: Mapping[str, Kind]) -> Iterator[Name]:
        """What it may mean: an externalId may be a user's or a group's."""
        type = self.said.get("type")
        for kind in kinds.values():
            if self.attribute is not None and (type not in kinds or type == kind.name):
                name = name_of(kind, self.attribute, self.value)
                if name is not None and (self.attribute != "displayName" or kind.has_members):
                    yield name


def manager_of(resource: Mapping[str, object]) -> Reference | None:
    """The manager that the resource names, as an object of which the resource consists."""
    enterprise = resource.get(ENTERPRISE_URN)
    if not isinstance(enterprise, dict):
        return None
    if isinstance(enterprise.get("manager"), str) and enterprise["manager"]:
        enterprise["manager"] = {"value": enterprise["manager"]}
    return _reference(enterprise.get("manager"))


def members_of(resource: Mapping[str, object]) -> list[Reference]:
    """The members that the resource names, as objects of which the resource consists."""
    members = resource.get("members")
    if not isinstance(members, list):
        return []
    for number, member in enumerate(members):
        if isinstance(member, str) and member:
            members[number] = {"value": member}
    return [reference for member in members if (reference := _reference(member)) is not None]


def _reference(said: object) -> Reference | None:
    if not isinstance(said, dict):
        return None
    for attribute in REFERENCE_NAMES:
        if isinstance(said.get(attribute), str) and said[attribute]:
            return Reference(said, attribute, said[attribute])
    value = said.get("value")
    return Reference(said, None, value) if isinstance(value, str) and value else None


def derived_id(job: str, name: Name) -> str:
    """The id that the job gives a new resource to which others of the file refer before it is there.

    It is a UUID of version 8 (RFC 9562 §5.8) with the time of the job in front, as other ids have theirs.
    """
    bits = int.from_bytes(name.hash(10, job.replace("-", "").encode()[-16:]))
    tail = bits & ((1 << 62) - 1)
    return f"{job[:13]}-8{bits >> 62 & 0xFFF:03x}-{0x8000 | tail >> 48:04x}-{tail & ((1 << 48) - 1):012x}"


def primary(kind: Kind, resource: Mapping[str, object], key: str) -> Name | None:
    """What stands for the resource in the place of an id that holds in the file only."""
    own = {name.attribute: name for name in own_names(kind, resource)}
    order = (key, *REFERENCE_NAMES)
    return next((own[attribute] for attribute in order if attribute in own), None)


def spelled(name: Name, resource: Mapping[str, object]) -> str:
    """The name as the resource itself writes it."""
    return cast(str, value_in(resource, name.attribute))
