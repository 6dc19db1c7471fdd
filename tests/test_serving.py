"""The local socket: whose it is, and what becomes of it; and what is done now and then."""

import asyncio
import socket
from pathlib import Path

import pytest

from scimhub import serving
from scimhub.directory.errors import StoreUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scimhub.sock"


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        return asking.connect_ex(str(path)) == 0


def test_a_local_socket_answers_its_owner_only_and_is_gone_at_the_end(path: Path):
    with serving.bind_local(path) as bound:
        assert bound is not None
        assert (answers(path), path.stat().st_mode & 0o777) == (True, 0o600)
    assert list(path.parent.iterdir()) == []


def test_one_at_which_a_hub_answers_is_left_alone_with_a_warning(path: Path, caplog: pytest.LogCaptureFixture):
    with serving.bind_local(path):
        inode = path.stat().st_ino
        with serving.bind_local(path) as second:
            assert second is None
        assert (path.stat().st_ino, answers(path)) == (inode, True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "give each hub a data folder of its own" in caplog.text


def test_one_whose_owner_has_too_many_waiting_already_is_left_alone(path: Path):
    with serving.bind_local(path) as bound:
        assert bound is not None
        bound.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
            waiting.connect(str(path))
            with serving.bind_local(path) as second:
                assert second is None


@pytest.mark.parametrize("left", ["socket", "file"])
def test_what_answers_nobody_is_taken_over(path: Path, left: str):
    if left == "file":
        path.write_text("")
    else:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
            gone.bind(str(path))
    assert not answers(path)
    with serving.bind_local(path):
        assert answers(path)
    assert not path.exists()


def test_a_path_that_is_another_hubs_by_now_is_not_removed(path: Path):
    with serving.bind_local(path):
        path.unlink()
        path.touch()
    assert path.exists()


async def test_what_is_done_now_and_then_is_done_again_whatever_came_of_it(caplog: pytest.LogCaptureFixture):
    faults: list[Exception] = [StoreUnavailable("The disk is full."), ZeroDivisionError()]
    is_done = asyncio.Event()

    async def act() -> None:
        if faults:
            raise faults.pop(0)
        is_done.set()

    work = asyncio.create_task(serving.repeat(act, 0.0, "not done"))
    async with asyncio.timeout(10):
        await is_done.wait()
    work.cancel()
    assert [(one.message, one.levelname) for one in caplog.records] == [("not done", "WARNING"), ("not done", "ERROR")]
