"""A webhook's receiver as somebody would write it: verifies each message and notes all that came."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from scimhub.consumer import Event, Replica, Unverified, parse, verify


@dataclass
class Arrival:
    """One message that was verified, and what was answered."""

    delivery_id: str
    event: Event
    body: bytes
    status: int


@dataclass
class Receiver:
    """Listens on a free port of this machine. ``answer`` decides the status of each verified message."""

    secrets: list[str] = field(default_factory=list)
    answer: Callable[[Event], int] = lambda event: 204
    arrivals: list[Arrival] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.take(dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *values: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A hub that is killed breaks its connections off; that is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/events"

    def take(self, headers: dict[str, str], body: bytes) -> int:
        try:
            verify(headers, body, self.secrets)
        except Unverified as error:
            self.refused.append(str(error))
            return 401
        event = parse(headers, body)
        given = {name.lower(): value for name, value in headers.items()}
        with self.lock:
            status = self.answer(event)
            self.arrivals.append(Arrival(given["webhook-id"], event, body, status))
        return status

    def events(self) -> list[Event]:
        """What was accepted, in order of arrival."""
        with self.lock:
            return [arrival.event for arrival in self.arrivals if arrival.status < 300 and arrival.event.tells_of_resource]

    def replica(self) -> Replica:
        """A copy of the directory, made of what was accepted, in the order of arrival; the caller closes it."""
        made = Replica()
        made.apply_all(self.events())
        return made

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
