"""A web server on this machine that gets alerts, and behaves as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """What a receiver tells a second one by."""
        return self.headers["Idempotency-Key"]

    @property
    def alert(self) -> dict[str, Any]:
        """What was posted."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """`answers` are the statuses of the next requests, 204 for all after them; `hang` holds answers back until set."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    hang: threading.Event | None = None
    drips: bool = False

    @property
    def ids(self) -> list[str]:
        """Of all requests that were answered with 204."""
        return [request.id for request in self.received]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A server on a free port of this machine, while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if found.hang is not None:
                self._stall(found.hang)
                return
            status = found.answers.pop(0) if found.answers else 204
            if status < 300:
                found.received.append(Received(dict(self.headers), body))
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", f"{found.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            raise AssertionError("a redirect was followed")

        def _stall(self, event: threading.Event) -> None:
            """Send nothing, or a byte now and then, which keeps a client's time-out from coming."""
            if found.drips:
                self.wfile.write(b"HTTP/1.0 204")
            while not event.wait(0.05):
                if found.drips:
                    self.wfile.write(b" ")
            self.close_connection = True

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_args: None  # type: ignore[method-assign]  # clients that went away
    found = Receiver(f"http://127.0.0.1:{server.server_address[1]}/alerts")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        if found.hang is not None:
            found.hang.set()
        server.shutdown()
        thread.join()
        server.server_close()
