"""The load generator: many keep-alive connections, one request at a time on each, in one thread over epoll.

Its requests are bytes that were made before, and of an answer it reads only the status and the length, so that it costs
less than any server it measures. It runs in a process and on a core of its own.
"""

import os
import select
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter, process_time

RECEIVE = 1 << 20


@dataclass(frozen=True, slots=True)
class Traffic:
    """What to send. ``seconds`` ends the run, or the end of the requests does unless they ``repeat``."""

    requests: Sequence[bytes]
    status: int
    repeat: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run showed: requests that were answered, wall-clock and own CPU seconds, latencies in seconds, sorted."""

    answered: int
    elapsed: float
    own_cpu: float
    latencies: Sequence[float]
    # The length of the last answer's body, and of its head.
    body_length: int

    @property
    def rate(self) -> float:
        return self.answered / self.elapsed

    def quantile(self, part: float) -> float:
        return self.latencies[min(int(len(self.latencies) * part), len(self.latencies) - 1)]


class UnexpectedAnswer(Exception):
    """The server answered otherwise than the scenario expects."""


def pin(core: int, pid: int = 0) -> None:
    """Keep a process, else this one, on one core, where the system can do that and has it."""
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(pid):
        os.sched_setaffinity(pid, {core})


def run(traffic: Traffic, port: int, connections: int) -> Measured:
    """Send the traffic over that many connections and measure."""
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    try:
        for connection in opened:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pending = cycle(traffic.requests) if traffic.repeat else iter(traffic.requests)
        return _exchange(opened, pending, b"%d" % traffic.status, traffic.seconds or 3600.0)
    finally:
        for connection in opened:
            connection.close()


def _exchange(opened: Sequence[socket.socket], pending: Iterator[bytes], status: bytes, seconds: float) -> Measured:
    poller = select.epoll()
    by_number = {connection.fileno(): connection for connection in opened}
    began: dict[int, float] = {}
    partial: dict[int, bytearray] = {}
    latencies: list[float] = []
    # One buffer for all: to make a large bytes object for each answer costs more than all the rest here.
    buffer = bytearray(RECEIVE)
    length = 0
    start, own = perf_counter(), process_time()
    end = start + seconds
    for number, connection in by_number.items():
        poller.register(number, select.EPOLLIN)
        if request := next(pending, None):
            began[number] = perf_counter()
            connection.sendall(request)
    while began:
        for number, _ in poller.poll():
            connection = by_number[number]
            received, size = _receive(connection, number, buffer, partial)
            if size == 0:
                continue
            now = perf_counter()
            latencies.append(now - began[number])
            if received[9:12] != status:
                raise UnexpectedAnswer(received[: min(size, 2000)].decode("utf-8", "replace"))
            length = size - received.find(b"\r\n\r\n") - 4
            request = next(pending, None) if now < end else None
            if request is None:
                del began[number]
                continue
            began[number] = now
            connection.sendall(request)
    elapsed, own = perf_counter() - start, process_time() - own
    return Measured(len(latencies), elapsed, own, sorted(latencies), length)


def _receive(connection: socket.socket, number: int, buffer: bytearray, partial: dict[int, bytearray]) -> tuple[bytearray, int]:
    """The answer and its size; size 0 while more of it is to come, which is then kept in ``partial``."""
    size = connection.recv_into(buffer)
    if size == 0:
        raise UnexpectedAnswer("The server closed the connection.")
    if number not in partial and _length(buffer, size) <= size:
        return buffer, size
    received = partial.setdefault(number, bytearray())
    received += buffer[:size]
    if _length(received, len(received)) > len(received):
        return received, 0
    return partial.pop(number), len(received)


def _length(received: bytearray, size: int) -> int:
    """How long the answer that begins so is; more than ``size`` while its head is not complete."""
    head = received.find(b"\r\n\r\n", 0, size)
    if head < 0:
        return size + 1
    at = received.find(b"content-length: ", 0, head)
    # An answer without a length has no body (204).
    return head + 4 if at < 0 else head + 4 + int(received[at + 16 : received.index(b"\r", at)])
