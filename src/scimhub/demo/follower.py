"""A consumer of one directory's feed: begins with the snapshot, then follows, in a thread of its own."""

import threading
import time
from pathlib import Path

from scimhub.consumer import Feed, Malformed, Refused, Replica
from scimhub.demo.receipts import Receipts

# Seconds that the hub waits for the next event: as long may it take until we see that we are to stop.
_WAIT = 1


class _Stopped(Exception):
    """Somebody wants us to stop while we wait for the hub to come back."""


class Follower:
    """Keeps the copy in the file equal to the directory between ``start`` and ``stop``; ``problem`` says why it gave up."""

    def __init__(self, url: str, token: str, copy: Path) -> None:
        self.receipts = Receipts()
        self.problem: str | None = None
        self.copy = copy
        self._url = url
        self._token = token
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feed of {url}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stop.set()

    def stop(self) -> None:
        """Returns when it has stopped."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with Replica(self.copy) as replica, Feed(self._url, self._token, sleep=self._pause) as feed:
                self._follow(replica, feed)
        except _Stopped:
            pass
        except (Refused, Malformed, OSError) as error:
            self.problem = f"The feed {self._url} cannot be followed: {error}"

    def _follow(self, replica: Replica, feed: Feed) -> None:
        for page in feed.tail(replica, wait=_WAIT):
            if page.rebuilt:
                self.receipts.snapshot = sum(1 for _ in replica.resources())
            now = time.time()
            for event, outcome in page.outcomes:
                self.receipts.note(event, outcome, now)
            if self._stop.is_set():
                return

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped
