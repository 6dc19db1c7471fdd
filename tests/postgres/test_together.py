"""Many rows by one statement are the same rows as by one statement each."""

from collections import defaultdict

import asyncpg
import pytest

from scimhub.sqlstore.postgres import together

_INSERT = """
INSERT INTO rows (number, name, is_odd)
VALUES (?, ?, ?)"""


@pytest.fixture
async def raw(url: str):
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE rows (number BIGINT, name TEXT, is_odd BIGINT)")
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([[(1, "a", 1)] * 3], id="all the same"),
        pytest.param(
            [[(1, "a", 1)] * 3, [(2, "a", 0), (3, "a", 0)], [(4, "b", 0), (4, "c", 0)]], id="one column after another"
        ),
        pytest.param([[(1, None, None), (2, None, None)], [(3, None, None), (3, None, 1)]], id="nothing, and then something"),
        pytest.param([[(1, "a", 1), (2, "b", 0)], [(5, "e", 1)] * 2], id="what differed once is the same"),
        pytest.param([[(7, "g", 1)]], id="one row"),
    ],
)
async def test_what_is_inserted_together_is_what_was_given(raw, calls: list[list[together.Values]], monkeypatch):
    monkeypatch.setattr(together, "_varied", defaultdict(frozenset))
    for rows in calls:
        await together.execute_each(raw, _INSERT, rows)
    found = await raw.fetch("SELECT number, name, is_odd FROM rows")
    assert sorted(map(repr, map(tuple, found))) == sorted(repr(row) for rows in calls for row in rows)


async def test_a_statement_has_few_texts_however_values_fall(raw):
    texts = set()
    raw.add_query_logger(lambda record: texts.add(record.query))
    for number in range(60):
        first, second = number % 2, number % 3 == 0
        await together.execute_each(raw, _INSERT, [(1, "a", 1), (1 + first, "b" if second else "a", number % 5 // 4)])
    inserts = {text for text in texts if "INSERT" in text}
    # No more than one for each column that came to differ, and one before.
    assert len(inserts) <= 4
