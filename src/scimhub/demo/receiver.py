"""A webhook's receiver as a customer would write it: each message is verified, applied to a copy on disk, then confirmed."""

import logging
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from scimhub.consumer import Malformed, Replica, Unverified, parse, verify
from scimhub.demo.receipts import Receipts

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Mailbox:
    """Where the webhooks of one directory arrive: the secret that signs them, and the file of the copy."""

    secret: str
    copy: Path
    receipts: Receipts = field(default_factory=Receipts)
    # One at a time: SQLite would let the others wait much longer than it takes.
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, headers: Mapping[str, str], body: bytes, replica: Replica) -> int:
        """The status to answer with; on 204 the message is on disk."""
        with self.lock:
            try:
                verify(headers, body, self.secret)
                self.receipts.verified += 1
                event = parse(headers, body)
            except Unverified:
                self.receipts.refused += 1
                return 401
            except Malformed:
                return 400
            outcome = replica.apply(event)
            if event.tells_of_resource:
                self.receipts.note(event, outcome, time.time())
        return 204


class Receiver:
    """Listens on a free port of this machine, with a thread for each connection; ``mailboxes`` by path, such as ``/okta``."""

    def __init__(self) -> None:
        self.mailboxes: dict[str, Mailbox] = {}
        self._server = _Server(self.mailboxes)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver", daemon=True)
        self._thread.start()

    def address(self, path: str) -> str:
        """The URL that a destination is given."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"
    # A copy belongs to one thread, and so to one connection.
    _replica: Replica | None = None

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self._take(body))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = _answer  # noqa: N815 - the name that http.server looks for

    def _take(self, body: bytes) -> int:
        mailbox = self.server.mailboxes.get(self.path)
        if mailbox is None:
            return 404
        if self._replica is None:
            self._replica = Replica(mailbox.copy)
        return mailbox.take(dict(self.headers.items()), body, self._replica)

    def finish(self) -> None:
        super().finish()
        if self._replica is not None:
            self._replica.close()

    def log_message(self, format: str, *values: Any) -> None:
        """The demo counts; it does not list."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # As many connections as two destinations may open at once.
    request_queue_size = 64

    def __init__(self, mailboxes: Mapping[str, Mailbox]) -> None:
        self.mailboxes = mailboxes
        super().__init__(("127.0.0.1", 0), _Connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks off is no news, everything else is; the hub then sends the message again."""
        if not isinstance(sys.exception(), ConnectionError):
            _logger.exception("webhook not taken")
