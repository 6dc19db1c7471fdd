"""The keys with which secrets of destinations are sealed: how many are under which, and bringing all under the newest."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from scimhub.directory.errors import Conflict
from scimhub.distribution import resealing, sealing
from scimhub.web.administration import Administration, Parts

routes = APIRouter(tags=["hub"])


class KeyShown(BaseModel, from_attributes=True):
    """One key, and what is sealed with it; the key itself is never shown."""

    key_id: str | None = Field(description="Null: not sealed yet; the next start of the hub does that.")
    secrets: int
    is_known: bool = Field(description="Whether the hub has the key. Destinations whose key is missing are sent nothing.")
    unreadable: int = Field(description="How many of them do not open: the key is missing, or is another one.")


class KeysShown(BaseModel):
    newest: str = Field(description="The key under which secrets are sealed from now on; empty while there is none.")
    items: list[KeyShown]


class Resealed(BaseModel):
    """One step; go on with ``after`` until that is null."""

    resealed: int
    after: str | None


async def _show(parts: Administration) -> KeysShown:
    keyring = parts.engine.given.keyring
    items = [KeyShown.model_validate(use) for use in await resealing.survey(parts.engine.given)]
    return KeysShown(newest=keyring.newest, items=items)


@routes.get("/secrets", summary="Show how many secrets are sealed under which key")
async def get_secrets(parts: Parts) -> KeysShown:
    return await _show(parts)


@routes.post("/secrets/key", status_code=201, summary="Have one more key, the newest from now on")
async def add_key(parts: Parts) -> KeysShown:
    keyring = parts.engine.given.keyring
    if not keyring.can_grow:
        raise Conflict(
            "The keys are given to the hub, which cannot add one: make one with scimhub secrets new-key, and put it in front "
            "of secret_keys, or of the lines of secret_keys_file, on every node."
        )
    keyring.grow(sealing.new_key(parts.now()[:10], parts.engine.given.random))
    return await _show(parts)


@routes.post("/secrets/reseal", summary="Seal anew some of the secrets that are not under the newest key")
async def reseal(parts: Parts, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Resealed:
    parts.engine.given.keyring.renew()
    step = await resealing.reseal(parts.engine.given, after, limit)
    return Resealed(resealed=step.resealed, after=step.after)
