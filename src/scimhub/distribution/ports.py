"""What distribution needs of its store and of the kinds of destinations, as Protocols."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from scimhub.directory.records import Change, StoredResource
from scimhub.distribution.amendments import Amendment
from scimhub.distribution.backfill import BackfillStore
from scimhub.distribution.delivery import (
    Attempt,
    Choice,
    Destination,
    Held,
    HeldCause,
    Kept,
    KeptRemoval,
    Message,
    Outcome,
    Purpose,
    Replay,
    Secret,
    State,
    Subscription,
)
from scimhub.distribution.ledger import Ledger
from scimhub.distribution.plans import PlanStore
from scimhub.distribution.slots import Slots

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one settling writes, in one transaction: the cursor, what is beyond it, who waits and who waits no longer.

    The holding of a lane and the cursor's passing over it are therefore never apart.
    """

    cursor: int
    ahead: frozenset[int] = frozenset()
    holds: Sequence[Held] = ()
    releases: Sequence[str] = ()
    replay_is_over: bool = False
    # The lease under which it is written; None for who needs none, such as a feed's consumer.
    lease_epoch: int | None = None
    # What the brake has let go, None when that is as it was written; and the resources that came back to the destination.
    brake_state: Mapping[str, Any] | None = None
    returned: Sequence[str] = ()


class DestinationStore(Protocol):
    """Destinations and where they stand. All raise Absent, Conflict or StoreUnavailable."""

    async def create_destination(
        self,
        directory: int,
        name: str,
        kind: str,
        configuration: Mapping[str, object],
        subscription: Subscription,
        cursor: int | None,
        now: str,
        secrets: Sequence[Secret] = (),
        id: str | None = None,
        brake: Mapping[str, object] | None = None,
        paused: str = "",
    ) -> Destination:
        """A new destination with its secrets; without a cursor it begins behind the newest change.

        It is active, or paused for the reason that ``paused`` gives.

        ``brake`` has the thresholds that differ from the defaults.
        """

    async def list_destinations(self, directory: int | None = None) -> Sequence[Destination]: ...

    async def find_destination(self, directory: int, name: str) -> Destination | None: ...

    async def find_destination_by_token(self, digest: bytes, now: str) -> Destination | None:
        """The feed that the token with this digest opens now, whatever its state."""

    async def update_destination(
        self,
        key: int,
        configuration: Mapping[str, object],
        subscription: Subscription,
        now: str,
        concealed: Secret | None = None,
    ) -> Destination:
        """Another configuration or subscription; a subscription that differs gets the next version.

        ``concealed`` is from now on its only secret of that purpose, whether it was there before or not.
        """

    async def set_state(self, key: int, state: State, reason: str, now: str) -> Destination: ...

    async def move_cursor(self, key: int, cursor: int, replay: Replay | None) -> Destination:
        """Put the cursor somewhere else, forgetting what was ahead of it and holds that the way meets again."""

    async def replay_held(self, key: int, replay: Replay, held: Held) -> Destination:
        """Begin a replay of what is owed of one resource, with that."""

    async def acknowledge(self, key: int, former: int, position: int, *, replay_is_over: bool = False) -> bool:
        """Move the cursor on to the position, unless it is beyond that or before ``former``; whether it was moved."""

    async def delete_destination(self, key: int) -> None: ...

    async def add_secret(self, key: int, secret: Secret) -> None: ...

    async def list_secrets(self, key: int) -> Sequence[Secret]:
        """The newest first, expired ones included."""

    async def expire_secrets(self, key: int, purpose: Purpose, keep: str, expires: str) -> None:
        """Let all secrets of that purpose end then, but the one with the id ``keep`` and those that end earlier."""

    async def delete_expired_secrets(self, now: str) -> None: ...

    async def settle(self, key: int, settlement: Settlement) -> None:
        """Write where the destination stands; raises LeaseLost when it has another lease than the settlement's."""

    async def list_held(self, key: int) -> Sequence[Held]:
        """In order of position."""

    async def change_held(self, key: int, held: Held) -> None:
        """Write this in the place of what is held for the resource; raises Absent."""

    async def owe_states(self, key: int, resource_ids: Sequence[str], ask: str, now: str) -> None:
        """Owe the destination what these resources are now. What the brake keeps, and what was decided about it, stays.

        Nobody else may be writing where it stands.
        """

    async def owe_states_of_kept(self, key: int, ask: str) -> None:
        """Have what the brake keeps, and what was decided about that, told as states: what the log said of it is gone."""

    async def release_held(self, key: int, resource_id: str) -> None:
        """Owe the resource nothing any more; raises Absent."""


@dataclass(frozen=True, slots=True)
class SealedUse:
    """How many secrets are sealed under one key; None for those that are not sealed yet."""

    key_id: str | None
    secrets: int


class SecretStore(Protocol):
    """The secrets of all destinations, as they are kept."""

    async def list_secrets_not_under(self, key_id: str, after: str, limit: int) -> Sequence[tuple[str, Secret]]:
        """Destination id and secret, of those that are to be sealed and are not under that key; by id, behind ``after``."""

    async def reseal_secret(self, before: Secret, after: Secret) -> bool:
        """Write the one in the place of the other; False when that is not there any more as it was."""

    async def count_secrets(self) -> Sequence[SealedUse]:
        """How many are under which key, without tokens, of which only a digest is kept."""

    async def erasing(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work so that nothing stays behind in the database's files of what its writes take the place of."""


class LeaseStore(Protocol):
    """Which node sends to which destination; see ``leases``. ``owner`` is a node; times are in seconds."""

    @property
    def has_many_nodes(self) -> bool:
        """Whether there may be other nodes; without, whoever asks gets every lease."""

    async def take_lease(self, key: int, owner: str, seconds: float) -> int | None:
        """The lease's epoch; None while another node holds it, or when the destination is gone."""

    async def keep_leases(self, owner: str, seconds: float) -> Mapping[int, tuple[int, bool]]:
        """Keep what the owner holds, and let it be seen to be alive: for each destination the lease's epoch, and whether
        another node asks for it."""

    async def give_lease(self, key: int, owner: str) -> None:
        """Let another node have it at once."""

    async def ask_for_lease(self, key: int) -> None:
        """Have the node that holds it give it away soon."""

    async def live_nodes(self, seconds: float) -> Sequence[str]:
        """Who was seen within that time."""

    async def leave(self, owner: str, seconds: float) -> None:
        """The node is not there any more."""


class PinStore(Protocol):
    """What the snapshots of other nodes need of the log; where there are none, nothing is written or read."""

    async def pin(self, owner: str, position: int | None) -> None:
        """The node needs what lies behind the position, None: nothing any more. A node that dies needs nothing soon after."""

    async def lowest_pin(self) -> int | None:
        """The lowest position that a node needs, which was seen within ten minutes."""


class BrakeStore(Protocol):
    """What the brake on removals needs of the store. Counts go by chunks of resources in order of key."""

    async def count_active(self, directory: int, kind: str, after_key: int, limit: int) -> tuple[int, int, int]:
        """Of the next resources of the kind: how many were seen, the last one's key, and how many are active."""

    async def count_memberships(self, directory: int, kind: str, after_key: int, limit: int) -> tuple[int, int, int]:
        """Of the next groups of the kind: how many were seen, the last one's key, and how many members they have."""

    async def count_members(self, group_key: int) -> int: ...

    async def count_leavers(self, directory: int, kind: str, after: int) -> int:
        """How many resources of the kind were deleted or deactivated behind that position."""

    async def walk(self, directory: int, kind: str, after_key: int, limit: int) -> Sequence[StoredResource]:
        """Resources of the kind behind the key, in its order."""

    async def set_brake(self, key: int, thresholds: Mapping[str, object], now: str) -> Destination: ...

    async def list_kept_removals(self, key: int, choice: Choice, after: int, limit: int) -> Sequence[KeptRemoval]:
        """In order of position, behind ``after``."""

    async def count_kept_removals(self, key: int, choice: Choice) -> int: ...

    async def sorts_kept(self, key: int) -> Sequence[tuple[str, int, int]]:
        """For each sort of removal that is kept: its name, how many, and of how many resources until a person has looked."""

    async def decide_kept(self, key: int, choice: Choice, cause: HeldCause, until: int, now: str, *, in_order: bool) -> int:
        """Release or discard the choice, up to that position; of how many resources. The windows begin anew.

        ``in_order`` for a destination from which nothing may leave the window.
        """

    async def list_kept(self, key: int, after: str, limit: int) -> Sequence[Kept]:
        """What was discarded and not sent since, in order of resource id."""


class SharedStore(DestinationStore, SecretStore, LeaseStore, BrakeStore, BackfillStore, PlanStore, Ledger, Protocol):
    """What pumps and their engine need of the store."""


class ChangeReader(Protocol):
    """The change log as distribution reads it."""

    async def read_changes(self, after: int, limit: int) -> Sequence[Change]:
        """Changes in order of position, which is dense over the whole hub."""

    async def read_changes_of(self, resource_id: str, first: int, last: int, limit: int) -> Sequence[Change]:
        """Changes of one resource at the positions from ``first`` to ``last``, in order."""

    async def read_leavers(self, after: int, limit: int) -> Sequence[Change]:
        """Deletions and deactivations behind the position, in order; a few that are neither may be among them."""

    async def last_position(self) -> int:
        """The newest position. Whatever was committed before this was asked has one when it is answered."""

    async def known_position(self) -> int:
        """The newest position that this process knows of, for who was woken: it costs nothing, and later ones wake again."""

    async def purged_position(self) -> int:
        """The position up to which retention has blanked changes; 0 at first."""

    async def position_at(self, time: str) -> int:
        """The last position whose change was committed before that time; 0 when there is none."""

    async def read_state(self, resource_id: str) -> Change | None:
        """What the resource is now, as a change: its newest one, whose ``after`` is the document and ``members_added`` are all
        members that it has, of one moment. None when nothing is known by that id."""

    async def members_of(self, resource_id: str) -> Sequence[str]:
        """The ids of the group's members now; empty when it is gone."""

    async def purge_changes(self, until: int) -> None:
        """Blank the content of all changes up to that position."""

    def on_commit(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have ``wake`` called, in any thread, after commits that may have added changes; returns what ends it."""


class AttemptLog(Protocol):
    """Where attempts are recorded, and found again."""

    def record_attempts(self, attempts: Sequence[Attempt]) -> bool:
        """Take the attempts for writing later; False when they had to be dropped. Never waits."""

    async def list_attempts(
        self,
        *,
        directory: str | None = None,
        destination: str | None = None,
        resource_id: str | None = None,
        positions: tuple[int, int] | None = None,
        failed_only: bool = False,
        limit: int = 100,
    ) -> Sequence[Attempt]:
        """The newest attempts that fit, newest first; ``positions`` are the first and the last that may be touched."""


class Sender(Protocol):
    """One open destination. Sending never raises for what a destination may do; the outcome tells."""

    async def send(self, message: Message) -> Outcome: ...

    async def close(self) -> None: ...


@runtime_checkable
class Posting(Protocol):
    """A sender that need not be waited for."""

    def listen(self, tell: Callable[[Sequence[tuple[Message, Outcome]]], None]) -> None:
        """Have ``tell`` called on the event loop with what came of messages that were posted, of each once."""

    def post(self, message: Message) -> bool:
        """Begin to send it; False, and nothing was begun, when ``send`` must do it. Nothing is told before it returns."""


@runtime_checkable
class Slotted(Protocol):
    """A sender whose messages are more work than their requests, and which takes a slot for each request."""

    def limit_by(self, slots: Slots) -> None:
        """Take slots of these from now on; ``send`` then raises TurnedAway as they do."""


class DestinationKind(Protocol):
    """A technology by which changes are sent: ``destinations.KINDS`` has them by name."""

    @property
    def name(self) -> str: ...

    @property
    def joins_runs(self) -> bool:
        """Whether consecutive membership changes of a group may travel as one event (DECISIONS 10)."""

    def check(self, configuration: Mapping[str, object]) -> Mapping[str, object]:
        """The configuration with defaults filled in; raises Invalid with every mistake."""

    def purpose(self, configuration: Mapping[str, object]) -> Purpose | None:
        """What the secret of a destination so configured is for, mistakes or not; None when it has none."""

    def make_secret(self, purpose: Purpose, random: Callable[[int], bytes]) -> bytes:
        """A new secret; ``random`` gives that many random bytes. Raises Invalid when only the administrator can bring it."""

    def parse_secret(self, text: str, configuration: Mapping[str, object]) -> tuple[Purpose, bytes]:
        """The secret that somebody brought for a destination so configured; raises Invalid, whose text never holds it."""

    def show_secret(self, secret: Secret) -> str:
        """What a receiver needs of it: the shared secret, or the public key; nothing of one that was brought."""

    def open(self, destination: Destination, secrets: Sequence[Secret]) -> Sender:
        """Ready to send; connects when the first message comes. ``secrets`` are those that hold now, newest first."""


@runtime_checkable
class Tended(Protocol):
    """A sender that has something to do now and then, without a message."""

    async def tend(self) -> None:
        """Do what is due. Never raises for what a destination may do."""


@runtime_checkable
class Amended(Protocol):
    """A sender whose ledger is corrected beside its messages."""

    async def amend(self, amendment: Amendment) -> None:
        """Correct the ledger by what the destination was seen to have."""
