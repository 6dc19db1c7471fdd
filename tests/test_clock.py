"""Times as text and ids ordered by time."""

import threading
import uuid
from datetime import datetime, timedelta, timezone

from scimhub import clock


def test_now_is_utc_with_milliseconds():
    written = clock.now_text()
    assert len(written) == len("2026-11-23T20:41:35.123Z")
    assert written == clock.text(clock.parse(written))
    assert abs((datetime.now(tz=timezone.utc) - clock.parse(written)).total_seconds()) < 60  # noqa: UP017


def test_a_moment_of_another_zone_is_written_in_utc():
    moment = datetime(2026, 11, 23, 22, 41, 35, 123456, timezone(timedelta(hours=2)))
    assert clock.text(moment) == "2026-11-23T20:41:35.123Z"


def test_ids_are_uuids_of_version_7_with_the_time_in_front():
    made = uuid.UUID(clock.new_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((made.int >> 80) / 1000 - datetime.now().timestamp()) < 60


def test_ids_only_grow_when_several_threads_make_them():
    made: list[list[str]] = [[], [], [], []]

    def make(into: list[str]) -> None:
        into.extend(clock.new_id() for _ in range(5000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(into == sorted(into) for into in made)
    assert len({id for into in made for id in into}) == 20_000


def test_one_id_after_the_other_grows():
    made = [clock.new_id() for _ in range(3)]
    assert made == sorted(set(made))
