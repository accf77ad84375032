"""A headless Chromium, driven by the DevTools protocol over two pipes: no driver, no port and no library.

Messages are JSON that ends with a zero byte (https://chromedevtools.github.io/devtools-protocol/): Chromium reads
commands from file descriptor 3 and writes answers and events to 4. The profile is a new empty folder, and nothing
that Chromium does by itself in the background is left on.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Literal

Scheme = Literal["light", "dark"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_INSTALL = "found no Chromium on the PATH; install one: `apt-get install chromium`"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
_SECONDS = 60.0  # that an answer may take; on a busy machine the start takes ten


def executable() -> str | None:
    """The path of an installed Chromium or Chrome; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


class BrowserError(RuntimeError):
    """Chromium has ended, does not answer, or has refused a command."""


class Tab:
    """One page. Events are kept, in their order, until they are taken."""

    def __init__(self, pipe: _Pipe, session: str) -> None:
        self._pipe, self._session = pipe, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        """Send a command and wait for its result. Raises BrowserError."""
        return self._pipe.call(method, parameters, self._session)

    def take_events(self) -> list[Mapping[str, Any]]:
        """All events since the last time: `method` and `params` of each."""
        self.evaluate("0")  # what was sent before this answer has come
        events, self._pipe.events = list(self._pipe.events), deque()
        return events

    def look(self, *, width: int, scheme: Scheme, height: int = 900, scale: float = 1.0) -> None:
        """Be a screen of this size, in a colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=media)

    def open(self, uri: str) -> None:
        """Load a page to its end. Raises BrowserError where it cannot be loaded."""
        before = len(self._pipe.events)
        found = self.call("Page.navigate", url=uri)
        if found.get("errorText"):
            raise BrowserError(f"{uri}: {found['errorText']}")
        # Of this page and no other: the empty one that Chromium starts with may end its own load only now.
        self._pipe.wait_for("Page.lifecycleEvent", before, name="load", loaderId=found["loaderId"])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, which JSON can hold. Raises BrowserError where it throws."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError(f"{expression[:200]}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def screenshot(self, clip: tuple[float, float, float, float] | None = None) -> bytes:
        """PNG of what is seen, or of a part of the page: left, top, width and height in CSS pixels."""
        part = {} if clip is None else {"clip": dict(zip(("x", "y", "width", "height"), clip, strict=True), scale=1)}
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=clip is not None, **part)
        return base64.b64decode(found["data"])


@contextmanager
def open_tab() -> Iterator[Tab]:
    """Start Chromium with an empty page; it is ended, and its profile removed, at the end.

    Raises:
        BrowserError: there is none, or it does not start.
    """
    found = executable()
    if found is None:
        raise BrowserError(HOW_TO_INSTALL)
    with tempfile.TemporaryDirectory(prefix="mapring-chromium-", ignore_cleanup_errors=True) as profile:
        (to_read, we_write), (we_read, to_write) = os.pipe(), os.pipe()
        # Above 4, so that neither lies where the other is to be.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]

        def place() -> None:
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        process = subprocess.Popen(
            [found, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=place,
            start_new_session=True,
        )
        for end in (to_read, to_write, *theirs):
            os.close(end)
        pipe = _Pipe(we_read, we_write)
        try:
            yield _first_tab(pipe)
            pipe.call("Browser.close", {}, None)
            process.wait(_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
            os.close(we_read)
            os.close(we_write)


def _first_tab(pipe: _Pipe) -> Tab:
    targets = pipe.call("Target.getTargets", {}, None)["targetInfos"]
    target = next(found["targetId"] for found in targets if found["type"] == "page")
    session = pipe.call("Target.attachToTarget", {"targetId": target, "flatten": True}, None)["sessionId"]
    return Tab(pipe, session)


class _Pipe:
    """Commands and their answers; what comes in between are events."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._number, self._rest = 0, b""
        self._waiting: deque[Mapping[str, Any]] = deque()
        self.events: deque[Mapping[str, Any]] = deque()

    def call(self, method: str, parameters: Mapping[str, Any], session: str | None) -> Mapping[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + _SECONDS
        while (answer := self._next(end, method)).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        result: Mapping[str, Any] = answer["result"]
        return result

    def wait_for(self, event: str, before: int, **parameters: str) -> None:
        """Wait until an event with these parameters has come after those `before`; it stays among the events."""
        end = time.monotonic() + _SECONDS
        while not any(_is(found, event, parameters) for found in islice(self.events, before, None)):
            self.events.append(self._next(end, event))

    def _next(self, end: float, awaited: str) -> Mapping[str, Any]:
        while not self._waiting:
            if not select.select([self._reading], [], [], max(0.0, end - time.monotonic()))[0]:
                raise BrowserError(f"Chromium did not answer for {_SECONDS:.0f} s; awaited was {awaited}")
            content = os.read(self._reading, 1 << 20)
            if not content:
                raise BrowserError(f"Chromium has ended; awaited was {awaited}")
            *whole, self._rest = (self._rest + content).split(b"\0")
            self._waiting.extend(json.loads(one) for one in whole)
        return self._waiting.popleft()


def _is(message: Mapping[str, Any], event: str, parameters: Mapping[str, str]) -> bool:
    return message.get("method") == event and parameters.items() <= message["params"].items()
