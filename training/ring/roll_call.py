"""Who is still there: every rank answers on a port of its own, so that one that does not can be named.

A ring that waits for a rank knows only that it waits, and an MPI one waits for ever. What stops a rank may be anywhere:
a kill, a host that is gone, a debugger, a store that does not answer. So each rank says, to whoever asks, how many
operations of the ring it has begun: one that is gone, one that is silent and one that is behind are three things.
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from training.ring.interface import Ring

_ANSWER_SECONDS = 3.0
_LONGEST_ANSWER = 64
_IF_SLOW = " (if it only needs longer than the others, raise ring.stall_shutdown_seconds)"


class RollCall:
    """Answers for this rank, and asks the others. All ranks make one at the same time.

    `begun` counts the operations of the ring that this rank has begun.
    """

    def __init__(self, ring: Ring) -> None:
        self.begun = 0
        self._rank = ring.rank
        self._socket = socket.create_server(("", 0))
        threading.Thread(target=self._answer, name="roll-call", daemon=True).start()
        self._host = socket.gethostname()
        self._places: list[list[str | int]] = ring.allgather_object([self._host, self._socket.getsockname()[1]])

    def missing(self) -> list[str]:
        """What is wrong with the other ranks, such as `rank 1 on host a does not answer`; empty if nothing is."""
        others = [rank for rank in range(len(self._places)) if rank != self._rank]
        with ThreadPoolExecutor(max(1, min(32, len(others)))) as pool:
            return [told for told in pool.map(self._ask, others) if told is not None]

    def close(self) -> None:
        """Answer no longer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # else the thread that accepts would wait on, and so would the port
        self._socket.close()

    def _answer(self) -> None:
        while True:
            try:
                with self._socket.accept()[0] as caller:
                    caller.sendall(str(self.begun).encode())
            except OSError:  # closed, or the caller is gone
                if self._socket.fileno() < 0:
                    return

    def _ask(self, rank: int) -> str | None:
        host, port = str(self._places[rank][0]), int(self._places[rank][1])
        name = f"rank {rank} on host {host}"
        try:
            with socket.create_connection(
                ("localhost" if host == self._host else host, port), _ANSWER_SECONDS
            ) as connection:
                begun = int(connection.recv(_LONGEST_ANSWER))
        except TimeoutError:
            return f"{name} does not answer"
        except (ConnectionError, ValueError):
            return f"{name} has ended"
        except OSError:  # no way to that host from here, which says nothing of the rank
            return None
        return f"{name} is busy elsewhere{_IF_SLOW}" if begun < self.begun else None
