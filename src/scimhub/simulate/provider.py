"""What makes up one provider: its traits, and its functions from a person or a group to a conversation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from scimhub.simulate.people import Group, Person
from scimhub.simulate.steps import Asking, Conversation, Memory

# A change of members: who comes and who goes.
ChangeMembers: TypeAlias = Callable[[Group, Sequence[Person], Sequence[Person], Memory], Conversation]


@dataclass(frozen=True, slots=True)
class GroupShapes:
    """How a provider speaks of groups. ``drops_leavers``: leavers are taken out of their groups first."""

    push: Callable[[Group, Sequence[Person], Memory], Conversation]
    change: ChangeMembers
    creates_empty: bool = True
    drops_leavers: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider's way of speaking.

    ``headers`` go with every request, None removes one that the HTTP library would add; ``content_type`` goes with a body, and
    with ``types_every_request`` also without. ``blank`` is how a blank is written in a query. ``attributes`` gives what must be
    on the server for a person, by PATCH path, without ``manager``; ``sends_manager`` tells whether that is sent, and
    ``manager_first`` that it is part of the create, so that whoever leads has to be there before. ``deletes``: leavers may end
    as deleted. ``refer`` is a separate pass for references.
    """

    name: str
    domain: str
    headers: Mapping[str, str | None]
    content_type: str
    concurrency: int
    attributes: Callable[[Person], dict[str, object]]
    check: Callable[[Memory], Conversation]
    find: Callable[[str], Asking[Mapping[str, object] | None]]
    join: Callable[[Person, Memory], Conversation]
    update: Callable[[Person, Memory], Conversation]
    deactivate: Callable[[Person, Memory], Conversation]
    groups: GroupShapes | None = None
    delete: Callable[[Person, Memory], Conversation] | None = None
    refer: Callable[[Person, Memory], Conversation] | None = None
    survey: Callable[[], Conversation] | None = None
    sends_manager: bool = False
    manager_first: bool = False
    types_every_request: bool = False
    blank: str = "%20"
