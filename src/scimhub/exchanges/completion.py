"""Makes an answer whole again that was kept without the resource's document, from the change that it told of.

Most answers to writes show the resource as it is now, and the change log has that in the same bytes.
"""

from collections.abc import Mapping

import orjson

from scimhub.directory.records import Change
from scimhub.exchanges import masking, secrets
from scimhub.exchanges.records import Exchange
from scimhub.exchanges.secrets import Strike
from scimhub.scim.catalog import Catalog

# What stands before the document in an answer.
_BEFORE = ("id", "externalId")


def is_wanting(exchange: Exchange) -> bool:
    """Whether the exchange's answer lacks a document that its change has, or had."""
    return exchange.answer.rest != ""


def complete(exchange: Exchange, changes: Mapping[str, Change], catalog: Catalog) -> Exchange:
    """The exchange with its whole answer, redacted as it was; as it is when its change is not among them or was purged.

    ``changes`` are by id. ``catalog`` tells which attributes are never returned.
    """
    answer = exchange.answer
    change = changes.get(exchange.change_ids[0]) if exchange.change_ids else None
    if not answer.rest or answer.text is None or change is None or change.after is None:
        return exchange
    frame = orjson.loads(answer.text)
    whole: object = {name: frame.pop(name) for name in _BEFORE if name in frame} | orjson.loads(change.after) | frame
    whole = Strike(secrets.names_of(catalog)).from_document(whole)
    if answer.rest == "masked":
        # What was masked already stays as it is.
        whole = masking.of_document(whole)
    return exchange._replace(answer=answer._replace(text=secrets.without_tokens(orjson.dumps(whole).decode()), rest=""))
