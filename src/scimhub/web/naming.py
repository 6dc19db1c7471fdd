"""Which resource a person means: by its id, or by what people know it by."""

from scimhub.directory.errors import Invalid
from scimhub.directory.records import Directory
from scimhub.timeline import following
from scimhub.web.administration import Administration

_MOST_NAMED = 10


async def id_of(parts: Administration, home: Directory, text: str) -> str:
    """The id of the one resource that is known by the text; raises Invalid for none or several."""
    catalog = await parts.catalogs.current(home.key)
    places = list(following.places(catalog, text))
    subjects = await parts.store.find_subjects(home.key, text, places, _MOST_NAMED)
    exact = [one for one in subjects if one.id == text] or [one for one in subjects if not one.is_deleted] or list(subjects)
    if not exact:
        raise Invalid([f"Nobody in directory {home.name} is known as {text[:100]!r}."])
    if len(exact) > 1:
        several = ", ".join(f"{one.kind} {one.id}" for one in exact)
        raise Invalid([f"{text[:100]!r} names several: {several}. Give an id."])
    return exact[0].id
