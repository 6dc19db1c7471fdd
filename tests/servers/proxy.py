"""A way to a server that can be cut and opened again, at the same port, while the server itself lives on."""

import contextlib
import socket
import threading

from tests.servers.running import free_port


class Proxy:
    """Passes bytes on, in threads of its own."""

    def __init__(self, target: int, address: str = "127.0.0.1") -> None:
        self.port = free_port()
        self._address = address
        # Where connections that come from now on lead to.
        self.target = target
        self._listener: socket.socket | None = None
        self._flows = threading.Event()
        self._flows.set()
        self._open: set[socket.socket] = set()

    def start(self) -> None:
        self._listener = socket.create_server((self._address, self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def kill(self) -> None:
        """Refuse connections, and break off those that there are."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Take what comes and pass nothing on, until ``thaw``."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while some := source.recv(65536):
                self._flows.wait()
                sink.sendall(some)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()
