"""The ledger corrected by what a destination was seen to have, so that the next state that it is told mends exactly that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scimhub.distribution.ledger import Ledger, Remote


@dataclass(frozen=True, slots=True)
class Amendment:
    """What the destination has otherwise than the ledger says, of one resource.

    ``is_missing``: it has the resource no more, as the ledger knows it. ``remote_id``: it has it under that id, which the
    ledger does not know.
    ``paths`` are shown otherwise, None for whatever was written. ``lacking`` are members that it lacks, None for all of
    them; ``beyond`` those that it has and should not.
    """

    resource_id: str
    resource_type: str
    is_missing: bool = False
    remote_id: str | None = None
    paths: Sequence[str] | None = ()
    lacking: Sequence[str] | None = ()
    beyond: Sequence[str] = ()


def everything_of(resource_id: str, resource_type: str) -> Amendment:
    """Nothing of what was written is relied on; all of it is written again."""
    return Amendment(resource_id, resource_type, paths=None, lacking=None)


async def amend(ledger: Ledger, destination: int, amendment: Amendment, now: str) -> None:
    """Correct the ledger; nobody may write about the same resource meanwhile."""
    id = amendment.resource_id
    known = await ledger.find_remote(destination, id)
    if known is None and amendment.remote_id is None:
        return
    known = known or Remote(id, amendment.resource_type, "gone", 0, now)
    if amendment.is_missing:
        known = replace(known, state="gone", remote_id=None, etag=None, written={}, awaits=None)
        await ledger.save_remote(destination, known)
        await ledger.forget_members(destination, id, for_good=False)
        await ledger.forget_memberships(destination, id)
        if amendment.remote_id is None:
            return
    if amendment.remote_id is not None and known.remote_id is None:
        known = replace(known, state="present", remote_id=amendment.remote_id, written={})
    wrong = set(known.written if amendment.paths is None else amendment.paths)
    written = {path: digest for path, digest in known.written.items() if path not in wrong}
    # Without the ETag of before: who changed it there gave it another one.
    await ledger.save_remote(destination, replace(known, written=written, etag=None))
    if amendment.lacking is None:
        await ledger.owe_all_members(destination, id)
    elif amendment.lacking or amendment.beyond:
        await ledger.owe_members(destination, id, amendment.lacking, amendment.beyond)
