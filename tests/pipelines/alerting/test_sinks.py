"""What each sink gets: signed requests, lines, numbers, events; and that one sink's failure concerns no other."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mapring.errors import SettingsError
from mapring.settings.alerts import Alerts, Surges, Webhook
from pipelines.alerting import lineage_events
from pipelines.alerting.lineage_events import LineageEvents, make_event, open_lineage
from pipelines.alerting.webhook import open_webhook
from tests.mapring.watch.counts import START, drift
from tests.pipelines.alerting.receiver import receiver
from tests.pipelines.alerting.world import Ground, World
from tests.pipelines.scheduling.world import FakeClock


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Ground(tmp_path))


def test_a_webhook_gets_the_whole_alert_signed(world: World) -> None:
    with receiver() as server:
        world.add_webhook(server.url).look()
        [request] = server.received
    [record] = world.log()
    assert request.alert == {**record.to_json(), "text": request.alert["text"], "examples": ["a <email>"]}
    assert request.alert["text"].startswith("surge of 'rare' of shop from 2026-03-11 00:00 to 2026-03-11 01:00 UTC: ")
    moment, digest = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", request.headers["Mapring-Signature"]).groups()  # type: ignore[union-attr]
    assert int(moment) == int(world.clock.now().timestamp())
    assert digest == hmac.new(b"key", moment.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["Content-Type"] == "application/json" and request.id == record.id


def test_without_a_secret_nothing_is_signed(world: World) -> None:
    with receiver() as server:
        world.add_webhook(server.url, secret=None).look()
        assert "Mapring-Signature" not in server.received[0].headers


def test_one_webhook_that_fails_holds_up_no_other(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with receiver() as broken, receiver() as sound:
        broken.answers = [500] * 9
        world.add_webhook(broken.url, attempts=2)
        world.add_webhook(sound.url, name="other").look()
        assert len(sound.ids) == 1 and not broken.ids
    told = capsys.readouterr().err
    assert (
        "webhook-desk: found status 500, expected 200 to 299, after 2 attempts; 1 alerts wait for the next run" in told
    )
    assert broken.url not in told, "an address may be a secret"


def test_the_time_of_a_run_is_limited(world: World) -> None:
    with receiver() as server:
        server.answers = [500] * 9
        world.add_webhook(server.url, attempts=9, pause_seconds=10, seconds_per_run=30).look()
        assert sum(world.clock.waits) < 30


def test_being_told_to_stop_ends_the_attempts(world: World) -> None:
    with receiver() as server:
        server.answers = [500] * 9
        world.clock.stop_at = world.clock.now()
        world.add_webhook(server.url).look()
        assert len(world.clock.waits) == 1


def test_what_a_webhook_names_must_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = Webhook(name="desk", url_env="DESK_URL", secret_env="DESK_SECRET")
    monkeypatch.setenv("DESK_URL", "https://desk.example/x")
    with pytest.raises(SettingsError, match=r"desk: secret_env: found no environment variable 'DESK_SECRET'"):
        open_webhook(hook, FakeClock())
    monkeypatch.setenv("DESK_SECRET", "hidden")
    sink = open_webhook(hook, FakeClock())
    assert (sink.url, sink.secret) == ("https://desk.example/x", b"hidden")
    assert "hidden" not in repr(sink) and "example" not in repr(sink)


def test_an_address_from_the_environment_that_is_none_is_refused_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_URL", "desk.example/services/TOKEN")
    with pytest.raises(SettingsError, match="desk: url_env: the environment variable 'DESK_URL' holds no") as caught:
        open_webhook(Webhook(name="desk", url_env="DESK_URL"), FakeClock())
    assert "TOKEN" not in str(caught.value)


def test_an_address_with_blanks_is_not_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.add_webhook("http://127.0.0.1:9/services/TO KEN", attempts=1).look()
    told = capsys.readouterr()
    assert "its address is no URL" in told.out + told.err and "KEN" not in told.out + told.err


def test_an_alert_that_is_refused_keeps_no_other_back(world: World) -> None:
    world.drifts = tuple(drift(f"quantity{number}", "shop", 24 * 9 + 9, 24 * 9 + 10) for number in range(3))
    with receiver() as server:
        server.answers = [200, 422, 200, 200]
        world.add_webhook(server.url).look()
        assert [request.alert["quantity"] for request in server.received] == ["rare", "quantity1", "quantity2"]
        world.look().look()
        assert [request.alert["quantity"] for request in server.received][3:] == ["quantity0"]


def test_an_address_that_is_gone_is_asked_once_a_run(world: World) -> None:
    world.drifts = tuple(drift(f"quantity{number}", "shop", 24 * 9 + 9, 24 * 9 + 10) for number in range(3))
    with receiver() as server:
        server.answers = [404, 404]
        world.add_webhook(server.url).look()
        assert server.answers == [404] and not server.received


def test_a_look_that_failed_is_no_last_look(world: World) -> None:
    path = world.folder / "mapring.prom"
    world.settings = Alerts(surges=Surges(judge_days=1), prometheus_file=str(path))
    world.look()
    before = path.read_text()
    world.at(world.hour + 1)
    alerting = replace(world.alerting(), gather=lambda: pytest.fail("no counts"))
    with pytest.raises(pytest.fail.Exception):
        alerting.look()
    assert path.read_text() == before


def test_prometheus_reads_the_numbers(world: World) -> None:
    path = world.folder / "mapring.prom"
    world.settings = Alerts(surges=Surges(judge_days=1), prometheus_file=str(path))
    with receiver() as server:
        server.answers = [500]
        world.add_webhook(server.url, attempts=1).look()
        families = {family.name: family for family in text_string_to_metric_families(path.read_text())}
        [alert] = families["mapring_alerts"].samples
        assert alert.labels == {
            "pipeline": "reviews",
            "kind": "surge",
            "source": "shop",
            "quantity": "rare",
            "status": "alert",
            "group": "",  # to Prometheus no label at all
        }
        assert (alert.name, alert.value) == ("mapring_alerts_total", 1)
        waiting = {sample.labels["sink"]: sample.value for sample in families["mapring_alerts_pending"].samples}
        assert waiting == {"log_file": 0, "webhook-desk": 1}
        [looked] = families["mapring_alerts_looked_seconds"].samples
        assert looked.value == world.clock.now().timestamp()
        world.look()
        assert 'mapring_alerts_pending{pipeline="reviews",sink="webhook-desk"} 0.0' in path.read_text()
    assert [name.name for name in world.folder.glob(".*")] == []


class Client:
    """Takes events, or does not."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.events = list(errors), []  # type: ignore[var-annotated]

    def emit(self, event: object) -> None:
        if self.errors:
            raise self.errors.pop()
        self.events.append(event)


def test_openlineage_gets_an_event_of_each_alert_once(world: World) -> None:
    client = Client(RuntimeError("no answer"))
    world.sinks.append(LineageEvents("runs/x/scores", client))
    world.look()
    assert client.events == []
    world.look().look()
    [event] = client.events
    [record] = world.log()
    assert event.run.runId.replace("-", "") == record.id and event.inputs[0].name == "runs/x/scores"


def test_an_openlineage_event_is_one_by_its_library(world: World) -> None:
    from openlineage.client.serde import Serde

    record = world.look().log()[0]
    found = json.loads(Serde.to_json(make_event(record, "scores")))
    assert found["eventType"] == "OTHER" and found["job"] == {
        "facets": {},
        "name": "reviews.alerts",
        "namespace": "mapring",
    }
    facet = found["run"]["facets"]["mapring_alert"]
    assert facet["quantity"] == "rare" and facet["id"] == record.id and facet["window_start"].endswith("Z")


def test_openlineage_without_its_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_events.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        SettingsError, match=r"alerts\.openlineage: found true, but openlineage-python is not installed"
    ):
        open_lineage("scores")


def test_the_log_of_alerts_is_a_table_for_duckdb_polars_pandas_and_arrow(world: World) -> None:
    import duckdb
    import pandas
    import polars

    [record] = world.look().log()
    pattern = str(world.folder / "alerts" / "log" / "*.json")
    found = duckdb.sql(f"select id, window_start, rows, examples from read_json('{pattern}')").fetchall()
    assert [one[0] for one in found] == [record.id] and found[0][1].replace(
        tzinfo=None
    ).isoformat() == "2026-03-11T00:00:00"
    assert polars.read_ndjson(pattern)["quantity"].to_list() == ["rare"]
    [path] = (world.folder / "alerts" / "log").iterdir()
    assert pandas.read_json(path, lines=True)["rows"].tolist() == [record.rows]


def test_a_drift_is_an_alert_once_for_all_its_windows(world: World) -> None:
    world.drifts = tuple(drift("language", "shop", hour, hour + 1) for hour in range(24 * 9, 24 * 9 + 5))
    world.rows = [one for one in world.rows if one["label"] != "rare"]
    world.look()
    world.drifts = (*world.drifts, drift("language", "shop", 24 * 9 + 9, 24 * 9 + 10), drift("label", "shop", 0, 1))
    [record] = world.look().log()
    assert (record.kind, record.quantity, record.window_start) == ("drift", "language", START.replace(day=11))
    assert (
        "drift of language of shop from 2026-03-11 00:00 to 2026-03-11 01:00 UTC: 0.4, expected 0.02"
        in world.lines()[0]
    )
