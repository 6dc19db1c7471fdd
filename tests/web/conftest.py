"""What several files of these tests begin with."""

from collections.abc import Iterator

import pytest

from tests.conformance.hub import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()
