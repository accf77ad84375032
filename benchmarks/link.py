"""How fast two processes exchange bytes over TCP at all: what bounds a ring on one machine.

Both send and receive at the same time, as two ranks of a ring do, and add nothing up.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import threading
import time

_ROUNDS = 12
_WARM_UP = 3


def exchange_seconds(size: int) -> float:
    """Median seconds in which each of two processes has sent and received `size` bytes over the loopback device."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = multiprocessing.get_context("spawn").Process(target=_other_side, args=(server.getsockname(), size))
        other.start()
        connection, _ = server.accept()
        with connection:
            seconds = _exchange(connection, size)
        other.join()
    return statistics.median(seconds[_WARM_UP:])


def _other_side(address: tuple[str, int], size: int) -> None:
    with socket.create_connection(address) as connection:
        _exchange(connection, size)


def _exchange(connection: socket.socket, size: int) -> list[float]:
    outgoing, incoming = bytes(size), memoryview(bytearray(size))
    seconds = []
    for _ in range(_WARM_UP + _ROUNDS):
        connection.sendall(b"x")  # both are here
        connection.recv(1, socket.MSG_WAITALL)
        began = time.perf_counter()
        sender = threading.Thread(target=connection.sendall, args=(outgoing,))
        sender.start()
        filled = 0
        while filled < size:
            filled += connection.recv_into(incoming[filled:])
        sender.join()
        seconds.append(time.perf_counter() - began)
    return seconds
