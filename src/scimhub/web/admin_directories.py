"""Directories, their sources, and the sources' tokens."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from scimhub.directory import sources
from scimhub.web import confirmation
from scimhub.web.admin_models import (
    Directories,
    DirectoryShown,
    NewDirectory,
    NewSource,
    NewToken,
    Sources,
    SourceShown,
    SourceWish,
    TokenMade,
    Tokens,
    TokenShown,
    scim_url,
    show_directory,
    show_source,
    show_token,
)
from scimhub.web.administration import Parts
from scimhub.web.confirmation import Confirm

routes = APIRouter()
Second = Annotated[str | None, Query(description="The directory's name: the second step, which removes everything.")]


@routes.get("/directories", tags=["directories"], summary="List the directories")
async def list_directories(parts: Parts) -> Directories:
    found = await parts.store.list_directories()
    return Directories(items=[show_directory(directory, parts.base_url) for directory in found])


@routes.post("/directories", tags=["directories"], status_code=201, summary="Create a directory")
async def create_directory(parts: Parts, wish: NewDirectory) -> DirectoryShown:
    return show_directory(await sources.create_directory(parts.store, wish.name, parts.now()), parts.base_url)


@routes.get("/directories/{directory}", tags=["directories"], summary="Show a directory with the count of its resources")
async def get_directory(parts: Parts, directory: str) -> DirectoryShown:
    found = await sources.get_directory(parts.store, directory)
    counts = dict(await parts.store.count_resources(found.key))
    return show_directory(found, parts.base_url, counts)


@routes.delete(
    "/directories/{directory}",
    tags=["directories"],
    status_code=202,
    summary="Delete a directory in two steps",
    description="Without `confirm` the deletion is only requested (202). With the name in `confirm` all is removed (204).",
    responses={204: {"description": "Removed with everything in it."}},
)
async def delete_directory(parts: Parts, directory: str, response: Response, confirm: Second = None) -> DirectoryShown | None:
    if confirm is None:
        requested = await sources.request_directory_deletion(parts.store, directory, parts.now())
        counts = dict(await parts.store.count_resources(requested.key))
        return show_directory(requested, parts.base_url, counts)
    await sources.delete_directory(parts.store, directory, confirm)
    response.status_code = 204
    return None


# --------------------------------------------------------------------------- sources


@routes.get("/directories/{directory}/sources", tags=["sources"], summary="List a directory's sources")
async def list_sources(parts: Parts, directory: str) -> Sources:
    home = await sources.get_directory(parts.store, directory)
    return Sources(items=[show_source(source, home, parts.base_url) for source in await parts.store.list_sources(home.key)])


@routes.post("/directories/{directory}/sources", tags=["sources"], status_code=201, summary="Create a source")
async def create_source(parts: Parts, directory: str, wish: NewSource) -> SourceShown:
    home = await sources.get_directory(parts.store, directory)
    made = await sources.create_source(parts.store, home, wish.name, wish.dialect, wish.returning, parts.now())
    return show_source(made, home, parts.base_url)


@routes.get("/directories/{directory}/sources/{source}", tags=["sources"], summary="Show a source")
async def get_source(parts: Parts, directory: str, source: str) -> SourceShown:
    home = await sources.get_directory(parts.store, directory)
    return show_source(await sources.get_source(parts.store, home, source), home, parts.base_url)


@routes.patch("/directories/{directory}/sources/{source}", tags=["sources"], summary="Change a source's dialect or rules")
async def update_source(parts: Parts, directory: str, source: str, wish: SourceWish) -> SourceShown:
    home = await sources.get_directory(parts.store, directory)
    found = await sources.get_source(parts.store, home, source)
    return show_source(await sources.update_source(parts.store, found, wish.dialect, wish.returning), home, parts.base_url)


@routes.delete(
    "/directories/{directory}/sources/{source}",
    tags=["sources"],
    status_code=204,
    summary="Remove a source and revoke its tokens; its resources stay",
    description="Without `confirm` nothing is removed, and the answer (409) says what would be lost.",
)
async def delete_source(parts: Parts, directory: str, source: str, confirm: Confirm = None) -> None:
    home = await sources.get_directory(parts.store, directory)
    found = await sources.get_source(parts.store, home, source)
    tokens = [show_token(token, parts.now()) for token in await parts.store.list_tokens(found.key)]
    valid = sum(token.state == "valid" for token in tokens)
    loss = f"Source {source} would go, and whoever uses one of its {valid} valid tokens would be refused; its resources stay."
    confirmation.check(confirm, source, loss)
    await parts.store.delete_source(found.key, parts.now())


# --------------------------------------------------------------------------- tokens


@routes.get("/directories/{directory}/sources/{source}/tokens", tags=["tokens"], summary="List a source's tokens")
async def list_tokens(parts: Parts, directory: str, source: str) -> Tokens:
    home = await sources.get_directory(parts.store, directory)
    found = await sources.get_source(parts.store, home, source)
    now = parts.now()
    return Tokens(items=[show_token(token, now) for token in await parts.store.list_tokens(found.key)])


@routes.post(
    "/directories/{directory}/sources/{source}/tokens",
    tags=["tokens"],
    status_code=201,
    summary="Create a token; the answer alone holds its secret",
    description="Tokens of one source may overlap, so that a secret is rotated without a gap.",
)
async def create_token(parts: Parts, directory: str, source: str, wish: NewToken) -> TokenMade:
    home = await sources.get_directory(parts.store, directory)
    found = await sources.get_source(parts.store, home, source)
    now = parts.now()
    token, secret = await sources.create_token(parts.store, found, wish.permissions, wish.expires, now)
    shown = show_token(token, now)
    return TokenMade(**shown.model_dump(), secret=secret, base_url=scim_url(parts.base_url, home.name))


@routes.delete("/directories/{directory}/sources/{source}/tokens/{token}", tags=["tokens"], summary="Revoke a token")
async def revoke_token(parts: Parts, directory: str, source: str, token: str) -> TokenShown:
    home = await sources.get_directory(parts.store, directory)
    found = await sources.get_source(parts.store, home, source)
    now = parts.now()
    return show_token(await parts.store.revoke_token(found.key, token, now), now)
