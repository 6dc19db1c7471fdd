"""Secrets of destinations on a real store: sealed, opened where they are needed, sealed anew, and found in no file."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from scimhub.directory.errors import Invalid
from scimhub.distribution import control, resealing, status
from scimhub.distribution.concealment import CONCEALED
from scimhub.distribution.delivery import Delivered, Retry
from scimhub.distribution.sealing import Key, Keyring
from scimhub.sqlstore.store import SqlStore
from tests.distribution.outside import Hub, open_outside, until
from tests.keys import KEY

NEW = Key("new", os.urandom(32))
CANARY = "canary-7f3a91"


def files_with(folder: Path, text: str) -> list[str]:
    """The files that hold the text, in plain."""
    return [path.name for path in sorted(folder.rglob("*")) if path.is_file() and text.encode() in path.read_bytes()]


async def with_headers(hub: Hub, name: str = "payroll") -> None:
    """A destination with a header and a secret that somebody brought."""
    await hub.destination(name, secret=f"whsec_{CANARY}-{name}", headers={"Authorization": f"Bearer {CANARY}"})


def unseal(hub: Hub) -> None:
    """Have the database hold its secrets as an earlier program wrote them."""
    connection = hub.store.database._writing
    connection.execute("PRAGMA secure_delete = ON")
    key = {name: key for key, name in connection.execute("SELECT key, name FROM destinations").fetchall()}["payroll"]
    connection.execute("DELETE FROM destination_secrets WHERE purpose = 'concealed'")
    sql = "UPDATE destination_secrets SET value = ?, key_id = NULL WHERE destination = ?"
    connection.execute(sql, (f"whsec_{CANARY}-payroll".encode(), key))
    configuration = f'{{"concurrency":16,"headers":{{"Authorization":"Bearer {CANARY}"}}}}'
    connection.execute("UPDATE destinations SET configuration = ? WHERE key = ?", (configuration, key))


# --------------------------------------------------------------------------- at rest


async def test_no_file_of_the_database_or_its_backup_holds_a_secret(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await with_headers(hub)
        rotated = await control.rotate(hub.engine, await hub.again(), secret=f"whsec_{CANARY}-2")
        await control.update(hub.engine, await hub.again(), {"headers": {"Authorization": f"Basic {CANARY}"}}, None)
        await hub.store.back_up(tmp_path / "hub.backup")
        assert files_with(tmp_path, CANARY) == []
        assert CANARY not in repr(await hub.again())
        assert rotated.destination.configuration["headers"] == {"Authorization": CONCEALED}
    assert files_with(tmp_path, CANARY) == []


async def test_a_destination_is_opened_with_what_was_concealed(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await with_headers(hub)
        assert hub.outside.configurations[-1]["headers"] == {"Authorization": f"Bearer {CANARY}"}
        assert await control.check(hub.engine, await hub.again()) == Delivered(204)
        assert hub.outside.configurations[-1]["headers"] == {"Authorization": f"Bearer {CANARY}"}


async def test_a_configuration_may_be_written_back_as_it_is_shown(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await with_headers(hub)
        shown = (await hub.again()).configuration
        await control.update(hub.engine, await hub.again(), {**shown, "concurrency": 3}, None)
        assert hub.outside.configurations[-1] == {"concurrency": 3, "headers": {"Authorization": f"Bearer {CANARY}"}}
        await control.update(hub.engine, await hub.again(), None, (await hub.again()).subscription)
        assert hub.outside.configurations[-1]["headers"] == {"Authorization": f"Bearer {CANARY}"}
        await control.update(hub.engine, await hub.again(), {}, None)
        assert hub.outside.configurations[-1] == {"concurrency": 16}
        assert [one.purpose for one in await hub.secrets()] == ["hmac"]


async def test_what_stands_for_nothing_is_refused(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        with pytest.raises(Invalid, match=r"Of headers.X nothing is kept that \(concealed\) could stand for"):
            await hub.destination(headers={"X": CONCEALED})
        await with_headers(hub)
        with pytest.raises(Invalid, match=r"Of headers.X nothing is kept"):
            await control.update(hub.engine, await hub.again(), {"headers": {"X": CONCEALED}}, None)


# --------------------------------------------------------------------------- an earlier program's database


async def test_what_an_earlier_program_wrote_is_sealed_and_leaves_no_trace(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await with_headers(hub)
        unseal(hub)
        assert files_with(tmp_path, CANARY) != []  # the control
        assert await resealing.seal_what_is_open(hub.engine.given) == 2
        assert files_with(tmp_path, CANARY) == []
        assert [use.key_id for use in await hub.store.count_secrets()] == ["test"]
        assert await resealing.seal_what_is_open(hub.engine.given) == 0
        await control.pause(hub.engine, await hub.again())
        await control.resume(hub.engine, await hub.again())
        assert hub.outside.configurations[-1]["headers"] == {"Authorization": f"Bearer {CANARY}"}
        assert hub.outside.opened[-1] == ("payroll", [f"whsec_{CANARY}-payroll".encode()])


# --------------------------------------------------------------------------- keys that change


async def test_all_is_sealed_anew_step_by_step_and_a_break_costs_nothing(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        for number in range(7):
            await with_headers(hub, f"d{number}")
        keys = [NEW, KEY]
        given = replace(hub.engine.given, keyring=Keyring(lambda: keys))
        first = await resealing.reseal(given, limit=4)
        assert first.resealed == 4
        counts = [(use.key_id, use.secrets, use.is_known, use.unreadable) for use in await resealing.survey(given)]
        assert counts == [("new", 4, True, 0), ("test", 10, True, 0)]
        # It was broken off here, and is begun anew.
        after: str | None = ""
        while after is not None:
            step = await resealing.reseal(given, after, 3)
            after = step.after
        keys.remove(KEY)
        counts = [(use.key_id, use.secrets, use.is_known, use.unreadable) for use in await resealing.survey(given)]
        assert counts == [("new", 14, True, 0)]


async def test_a_secret_that_is_changed_meanwhile_is_not_written_over(tmp_path: Path):
    def wrap(store: SqlStore) -> SqlStore:
        found = store.list_secrets_not_under

        async def find_and_rotate(key_id: str, after: str, limit: int):
            rows = await found(key_id, after, limit)
            if key_id == "new" and rows:
                await store.reseal_secret(rows[0][1], replace(rows[0][1], value=b"changed meanwhile"))
            return rows

        store.list_secrets_not_under = find_and_rotate  # type: ignore[method-assign]
        return store

    async with open_outside(tmp_path, store=wrap) as hub:
        await hub.destination()
        given = replace(hub.engine.given, keyring=Keyring(lambda: [NEW, KEY]))
        assert (await resealing.reseal(given)).resealed == 0
        (kept,) = await hub.store.list_secrets((await hub.again()).key)
        assert kept.value == b"changed meanwhile"


async def test_a_destination_whose_key_is_missing_sends_nothing_and_names_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with open_outside(tmp_path) as hub:
        await with_headers(hub)
        keys = [NEW]
        hub.engine.given.keyring._look_up = lambda: keys
        hub.engine.given.keyring.renew()
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            async with hub.engine.halted(await hub.again()):
                pass
            # It is said before anything was to be sent.
            early = await status.of_destination(hub.engine, await hub.again())
            assert early.error.startswith("Its secret is sealed with the key test, which this hub does not have")
            await hub.place.user("kim")
            await until(lambda: hub.pump(known).breaker.state == "open", "the failing") if (
                known := await hub.again()
            ) else None
        found = await status.of_destination(hub.engine, await hub.again())
        assert found.error.startswith("Its secret is sealed with the key test, which this hub does not have")
        assert [getattr(record, "reason", "")[:40] for record in caplog.records][:1] == [
            "Its secret is sealed with the key test, "
        ]
        outcome = await control.check(hub.engine, await hub.again())
        assert isinstance(outcome, Retry)
        with pytest.raises(Invalid, match=r"What is \(concealed\) cannot be kept; write it anew."):
            await control.update(hub.engine, await hub.again(), (await hub.again()).configuration, None)
        # As long as the key is missing, nothing begins anew; when it comes back, all goes on.
        before = hub.pump(await hub.again())
        await hub.engine.unlock()
        assert hub.pump(await hub.again()) is before
        keys.append(KEY)
        await hub.engine.unlock()
        await hub.caught_up()
        assert hub.outside.positions()[-1] == 1
        assert CANARY not in caplog.text


async def test_where_a_key_is_lost_a_new_secret_is_used_though_the_former_would_still_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with open_outside(tmp_path) as hub:
        await hub.destination("payroll", secret="whsec_former")
        keys = [NEW]
        hub.engine.given.keyring._look_up = lambda: keys
        hub.engine.given.keyring.renew()
        await control.rotate(hub.engine, await hub.again(), secret="whsec_new")
        await hub.place.user("kim")
        await hub.caught_up()
        assert hub.outside.opened[-1] == ("payroll", [b"whsec_new"])
        assert (await status.of_destination(hub.engine, await hub.again())).error == ""
        # Who still checks with the former secret is refused; it is told why nothing is signed with it.
        (warned,) = [record for record in caplog.records if record.getMessage() == "former secret cannot be opened"]
        assert getattr(warned, "reason", "").startswith("Its secret is sealed with the key test, which this hub does not have")
        # When the key is there again, the former is used too.
        keys.append(KEY)
        await hub.engine.unlock()
        assert hub.outside.opened[-1] == ("payroll", [b"whsec_new", b"whsec_former"])


async def test_a_key_that_is_there_again_is_noticed_though_that_of_a_former_secret_is_lost(tmp_path: Path):
    async with open_outside(tmp_path) as hub:
        await hub.destination("payroll", secret="whsec_former")
        keys = [NEW]
        hub.engine.given.keyring._look_up = lambda: keys
        hub.engine.given.keyring.renew()
        await control.rotate(hub.engine, await hub.again(), secret="whsec_new")
        keys[:] = [Key("other", os.urandom(32))]
        hub.engine.given.keyring.renew()
        async with hub.engine.halted(await hub.again()):
            pass
        assert (await status.of_destination(hub.engine, await hub.again())).error.startswith(
            "Its secret is sealed with the key new"
        )
        keys.append(NEW)
        await hub.engine.unlock()
        await hub.place.user("kim")
        await hub.caught_up()
        assert hub.outside.opened[-1] == ("payroll", [b"whsec_new"])
        assert (await status.of_destination(hub.engine, await hub.again())).error == ""
        # Of the former nothing changes, so that nothing begins anew.
        before = hub.pump(await hub.again())
        await hub.engine.unlock()
        assert hub.pump(await hub.again()) is before
