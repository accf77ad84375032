"""Alerts to an address, by HTTP POST: signed, with a time-out, with retries, and never for long.

At least once: the header `Idempotency-Key` is the alert's id and the same in every attempt of every run, so that a
receiver can tell a second one.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapring.errors import SettingsError, in_one_line
from mapring.settings.alerts import Webhook
from pipelines.alerting.delivery import DeliveryError
from pipelines.alerting.records import Record
from pipelines.alerting.wording import payload
from pipelines.scheduling.stopping import Clock

_TRY_AGAIN = {408, 425, 429}  # and all from 500 on
_OWN_FAULT = {400, 409, 413, 414, 422, 431}  # of this alert, in the receiver's eyes; others may be taken
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class WebhookSink:
    """A webhook whose address and secret are known; neither is ever printed."""

    settings: Webhook
    clock: Clock
    url: str = field(repr=False)
    secret: bytes | None = field(repr=False)
    draw: Callable[[], float] = random.random

    @property
    def name(self) -> str:
        """Stands in file names and messages."""
        return f"webhook-{self.settings.name}"

    def deliver(self, records: Sequence[Record], arrived: Callable[[Record], None]) -> None:
        """Post alerts, until one has failed all its attempts or the time of this run is used up.

        One that is refused for what it holds waits alone, and those behind it are posted.
        """
        begin = self.clock.steady()
        refused: list[_RefusedError] = []
        for record in records:
            try:
                self._post(record, begin)
            except _RefusedError as error:
                refused.append(error)
                continue
            arrived(record)
        if refused:
            raise refused[0]

    def _post(self, record: Record, begin: float) -> None:
        said = "no attempt was made"
        for attempt in range(self.settings.attempts):
            pause = self._pause(attempt)
            if self.clock.steady() - begin + pause >= self.settings.seconds_per_run:
                raise DeliveryError(f"{said}; the {self.settings.seconds_per_run:g} s of this run are used up")
            if pause and self.clock.wait(pause):
                raise DeliveryError(f"{said}; told to stop")
            status = self._attempt(json.dumps(payload(record), ensure_ascii=False).encode(), record.id)
            if isinstance(status, int) and 200 <= status < 300:
                return
            said = f"found status {status}, expected 200 to 299" if isinstance(status, int) else status
            if isinstance(status, int) and status < 500 and status not in _TRY_AGAIN:
                kind = _RefusedError if status in _OWN_FAULT else DeliveryError
                raise kind(f"{said}; check the webhook's address and what it takes")
        raise DeliveryError(f"{said}, after {self.settings.attempts} attempts")

    def _pause(self, attempt: int) -> float:
        """Seconds before an attempt: twice as many each time, half of them drawn, so that runs do not come in step."""
        if not attempt:
            return 0.0
        longest = min(_LONGEST_PAUSE, self.settings.pause_seconds * 2.0 ** (attempt - 1))
        return float(longest * (0.5 + 0.5 * self.draw()))

    def _attempt(self, body: bytes, key: str) -> int | str:
        """The status of an answer, or why there is none.

        A server that sends a byte now and then never lets a socket time out, so the whole attempt runs in a thread
        that is left alone when its time is over.
        """
        headers = {"Content-Type": "application/json", "User-Agent": "mapring", "Idempotency-Key": key}
        if self.secret is not None:
            headers["Mapring-Signature"] = signature(self.secret, int(self.clock.now().timestamp()), body)
        request = urllib.request.Request(self.url, body, headers, method="POST")
        found: list[int | str] = []
        limit = self.settings.timeout_seconds
        thread = threading.Thread(target=lambda: found.append(_status(request, limit)), name="webhook", daemon=True)
        thread.start()
        thread.join(limit)
        return found[0] if found else f"no answer within {limit:g} s"


def open_webhook(settings: Webhook, clock: Clock) -> WebhookSink:
    """A webhook with what the environment holds for it.

    Raises:
        SettingsError: a variable that it names is not set, or holds no address; what it holds is not told.
    """
    url = settings.url if settings.url is not None else _variable(settings, "url_env")
    if not url.startswith(("http://", "https://")):
        raise SettingsError(
            f"alerts.webhooks: {settings.name}: url_env: the environment variable {settings.url_env!r} holds no "
            "address that begins with http:// or https://"
        )
    secret = None if settings.secret_env is None else _variable(settings, "secret_env").encode()
    return WebhookSink(settings, clock, url, secret)


def signature(secret: bytes, moment: int, body: bytes) -> str:
    """`t=<seconds>,v1=<hex>`: HMAC-SHA256 of `<seconds>.<body>`, so that an old request cannot be sent again as new."""
    digest = hmac.new(secret, str(moment).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


class _RefusedError(DeliveryError):
    """The receiver does not take this one alert."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, or with its signature at somebody else."""

    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        return None


def _status(request: urllib.request.Request, seconds: float) -> int | str:
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=seconds) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except urllib.error.URLError as error:
        return (
            f"cannot be reached ({in_one_line(error.reason) if isinstance(error.reason, Exception) else error.reason})"
        )
    except (http.client.InvalidURL, ValueError):  # their messages hold the path, which may be the secret
        return "its address is no URL; look for blanks in it"
    except Exception as error:  # whatever a server can do to a client
        return f"does not answer as a web server does ({type(error).__name__}: {in_one_line(error)})"


def _variable(settings: Webhook, key: str) -> str:
    name = getattr(settings, key)
    value = os.environ.get(name, "")
    if not value:
        raise SettingsError(
            f"alerts.webhooks: {settings.name}: {key}: found no environment variable {name!r}; set it, or name another"
        )
    return value
