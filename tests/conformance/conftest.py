"""The hub that the tests of the requirements speak to."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance.hub import Application, Hub, Loop, opened


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def application(loop_thread: Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with opened(loop_thread, tmp_path_factory.mktemp("conformance")) as application:
        yield application


@pytest.fixture
def hub(application: Application) -> Hub:
    """A new directory."""
    return application.hub()


@pytest.fixture
def hub_with(loop_thread: Loop, tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    """A new directory in a hub of its own, with settings of its own."""
    with ExitStack() as stack:

        def open_one(**settings: object) -> Hub:
            return stack.enter_context(opened(loop_thread, tmp_path, **settings)).hub()

        yield open_one
