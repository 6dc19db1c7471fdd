"""Exchanges and attempts that tests record."""

from typing import Any

from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Body, Exchange, Received, Search
from scimhub.sqlstore.exchanges import Exchanges
from tests.store_contract.harness import T0

FIRST = Received(
    id="x1",
    time=T0,
    directory="acme",
    source="okta",
    method="POST",
    path="/scim/acme/v2/Users",
    status=201,
    duration_us=1234,
    rewrites=["string-boolean"],
    dropped=["favouriteColour"],
    resource_kind="User",
    resource_id="u1",
    change_ids=["c1", "c2"],
    query=b"attributes=userName",
    headers=(("user-agent", "Okta"),),
    request=b'{"userName":"ada"}',
    request_size=18,
    answer=b'{"id":"u1"}',
    answer_size=11,
)
KEPT = Exchange(
    id="x1",
    time=T0,
    directory="acme",
    source="okta",
    method="POST",
    path="/scim/acme/v2/Users",
    status=201,
    duration_us=1234,
    rewrites=("string-boolean",),
    dropped=("favouriteColour",),
    resource_kind="User",
    resource_id="u1",
    change_ids=("c1", "c2"),
    query="attributes=userName",
    headers={"user-agent": "Okta"},
    request=Body('{"userName":"ada"}', 18),
    answer=Body('{"id":"u1"}', 11),
)
TRY = Attempt(T0, "acme", "crm", "d1", "c1", "u1", 5, 5, 1, "retry", 503, 1200, "It answered 503.", "busy")


async def ids(exchanges: Exchanges, limit: int = 50, **wanted: Any) -> list[str]:
    return [exchange.id for exchange in (await exchanges.search(Search(**wanted), limit)).exchanges]
