"""A name server on loopback whose answers change from question to question, and a system that asks it for ``.test`` names."""

import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.rrset
import pytest


class NameServer:
    """``answers`` has for a name the addresses of its first answer, of its second, and so on; the last stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        # How often each name's addresses were asked for.
        self.asked: dict[str, int] = defaultdict(int)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def look_up(self, name: str) -> list[str]:
        """What a system's resolver learns of the name now: without a time to live it may remember nothing."""
        question = dns.message.make_query(name, dns.rdatatype.A)
        answer = dns.query.udp(question, "127.0.0.1", timeout=5, port=self.port)
        return [str(record) for rrset in answer.answer for record in rrset]

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                wire, whom = self._socket.recvfrom(4096)
            except OSError:
                return
            question = dns.message.from_wire(wire)
            name = question.question[0].name.to_text(omit_final_dot=True)
            known = self.answers.get(name, [[]])
            addresses = known[min(self.asked[name], len(known) - 1)]
            self.asked[name] += 1
            response = dns.message.make_response(question)
            response.flags |= dns.flags.AA
            if addresses:
                response.answer.append(dns.rrset.from_text(question.question[0].name, 0, "IN", "A", *addresses))
            try:
                self._socket.sendto(response.to_wire(), whom)
            except OSError:
                return


@contextmanager
def asking_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """Whatever this process asks the system about a name that ends in ``.test`` is asked of the name server."""
    server, ask_system = NameServer(), socket.getaddrinfo

    def ask(host: Any, port: Any, *rest: Any, **more: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(".test"):
            return ask_system(host, port, *rest, **more)
        found = server.look_up(name)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port))) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    try:
        yield server
    finally:
        server.close()


class Trap:
    """A listener at an address that must not be reached, which counts who comes."""

    def __init__(self, address: str, port: int) -> None:
        self.connections = 0
        self._listener = socket.create_server((address, port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            one.close()
