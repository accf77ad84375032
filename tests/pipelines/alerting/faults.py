"""The table of what alerts must survive: no alert twice, none lost, and scoring never held up."""

from __future__ import annotations

import contextlib
import datetime
import io
import threading
import time
from unittest import mock

import pytest

from mapring import storage
from mapring.errors import StageError
from mapring.settings.alerts import Alerts, Surges
from pipelines.alerting import alerting, delivery, judged
from pipelines.alerting.records import Record
from tests.fault_table import Fault, fault_table
from tests.mapring.watch.counts import HOUR, START, hour_of, hour_rows, hours, row
from tests.pipelines.alerting.receiver import receiver
from tests.pipelines.alerting.world import CALM, NOON, SURGE, SURGED, Ground, World
from tests.pipelines.scheduling.world import Killed


def one_surge(world: World) -> Record:
    """The only record, of the surge that was planted; it has one line in the log file."""
    [record] = world.log()
    assert (record.status, record.source, record.quantity) == ("alert", "shop", "rare")
    assert hour_of(record.window_start) == SURGE.start
    [line] = world.lines()
    assert record.id in line
    return record


def webhook_down(ground: Ground) -> None:
    with receiver() as server:
        url = server.url  # where nobody listens after this
    world = World(ground).add_webhook(url, attempts=2).look()
    record = one_surge(world)
    assert [one.id for one in delivery.waiting_for(str(ground.own / "alerts"), world.log(), "webhook-desk")] == [
        record.id
    ]
    with receiver() as server:
        world.sinks.pop()
        world.add_webhook(server.url).look().look()
        assert server.ids == [record.id] and len(world.log()) == 1


def webhook_slow(ground: Ground) -> None:
    for drips in (False, True):
        with receiver() as server:
            server.hang, server.drips = threading.Event(), drips
            own = ground.own / str(drips)
            world = World(Ground(own)).add_webhook(server.url, timeout_seconds=0.2, attempts=2)
            begin = time.monotonic()
            world.look()
            assert time.monotonic() - begin < 5, "it held the run up"
            record = one_surge(world)
            server.hang.set()
            server.hang = None
            world.look()
            assert server.ids == [record.id]


def webhook_failing_at_first(ground: Ground) -> None:
    with receiver() as server:
        server.answers = [500, 503, 429]
        world = World(ground).add_webhook(server.url).look()
        assert server.ids == [one_surge(world).id]
        assert world.clock.waits == [0.75, 1.5, 3.0], "half of a pause that doubles is drawn"


def webhook_refusing(ground: Ground) -> None:
    with receiver() as server:
        server.answers = [404, 302]
        world = World(ground).add_webhook(server.url).look()
        assert server.ids == [] and world.clock.waits == [], "it was tried again at once"
        world.look()
        assert server.ids == [], "a redirect was followed"
        world.look()
        assert server.ids == [one_surge(world).id]


_STEPS = [
    (alerting, "read_series"),
    (alerting, "find_surges"),
    (alerting, "append"),
    (alerting, "write_judged"),
    (alerting, "deliver"),
    (delivery, "_note"),
    (storage, "create"),
    (storage, "replace"),
]


def killed_at_any_step(ground: Ground) -> None:
    for home, name in _STEPS:
        for when in ("before", "after"):
            with receiver() as server:
                world = World(Ground(ground.own / f"{name}-{when}")).add_webhook(server.url)
                real, calls = getattr(home, name), []

                def killed(*args: object, real=real, when=when, calls=calls, **named: object) -> object:  # type: ignore[no-untyped-def]
                    calls.append(args)
                    if when == "after":
                        real(*args, **named)
                    raise Killed

                with mock.patch.object(home, name, killed), pytest.raises(Killed):
                    world.look()
                assert calls
                world.look().look()
                record = one_surge(world)
                assert set(server.ids) == {record.id} and len(server.ids) <= 2, (name, when)
                assert len(server.ids) == 1 or name in ("_note", "create")  # it had arrived, and that was not recorded


def two_runs_at_once(ground: Ground) -> None:
    """The second one does all its work between the first one's judgment and its record."""
    with receiver() as server:
        first, second = World(ground).add_webhook(server.url), World(ground).add_webhook(server.url)
        _look_overtaken(first, second)
        assert server.ids == [one_surge(first).id]


def two_runs_that_know_different_counts(ground: Ground) -> None:
    """The first one saw a surge one hour later than the second one, to which a late file has come."""
    late = [one for one in SURGED if one["window_start"] != START + SURGE.start * HOUR]
    first, second = World(ground, late), World(ground)
    _look_overtaken(first, second)
    one_surge(first)


def _look_overtaken(first: World, second: World) -> None:
    """Let the first one look, and the second one do all its work before the first one records anything."""
    real = alerting.append

    def overtaken(*args: object) -> bool:
        with mock.patch.object(alerting, "append", real):
            second.look()
        return real(*args)  # type: ignore[arg-type]

    with mock.patch.object(alerting, "append", overtaken):
        first.look()


def many_runs_at_once(ground: Ground) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            World(ground).look()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    one_surge(World(ground))


def clock_of_alerts_going_back(ground: Ground) -> None:
    world = World(ground).look()
    record = one_surge(world)
    for hours_back in (1, 30, 24 * 300):
        world.clock.time = START + (NOON - hours_back) * HOUR
        world.look()
    world.at(NOON + 3).look()
    assert one_surge(world) == record
    ahead = World(Ground(ground.own / "ahead"))
    ahead.clock.time = START + 24 * 4000 * HOUR
    ahead.look()
    ahead.at(NOON).look()
    one_surge(ahead)


def clocks_changed_by_law(ground: Ground) -> None:
    """Every hour over the nights in which Berlin's clocks go forward, and in which they go back; windows are UTC."""
    for first in (24 * 26, 24 * 236):  # days before 2026-03-29 and 2026-10-25
        world = World(Ground(ground.own / str(first)))
        world.settings = Alerts(surges=Surges(timezone="Europe/Berlin", judge_days=0.3))
        change = first + 24
        world.rows = hours(change + 30, {change + 1: 0.35, change + 2: 0.35}, first=first - 24 * 9)
        for hour in range(change - 3, change + 8):
            world.at(hour).look()
        [record] = world.log()
        assert hour_of(record.window_start) == change + 1 and len(world.lines()) == 1


def window_without_rows(ground: Ground) -> None:
    gap = range(24 * 9 - 6, SURGE.start)
    world = World(ground, [one for one in SURGED if hour_of(one["window_start"]) not in gap]).look()  # type: ignore[arg-type]
    one_surge(world)
    empty = World(Ground(ground.own / "empty"), [])
    assert empty.look().log() == []


def window_with_one_row(ground: Ground) -> None:
    world = World(ground, [one for one in CALM if hour_of(one["window_start"]) != NOON - 1])  # type: ignore[arg-type]
    world.extra = [row(NOON - 1, "rare", 1)]
    assert world.look().log() == []


def window_with_a_billion_rows(ground: Ground) -> None:
    hour = SURGE.start - 30  # a day before the surge, so in its baseline
    others = [one for one in SURGED if hour_of(one["window_start"]) != hour]  # type: ignore[arg-type]
    calm = World(Ground(ground.own / "calm"), [*others, *hour_rows(hour, rows=1_000_000_000)]).look()
    one_surge(calm)
    poisoned = World(Ground(ground.own / "poisoned"), [*others, row(hour, "rare", 1_000_000_000)])
    poisoned.settings = Alerts()
    first, second = poisoned.look().log()
    assert [hour_of(one.window_start) for one in (first, second)] == [hour, SURGE.start]
    assert first.rows == first.count == 1_000_000_000 and second.expected < 0.15


def late_files_after_an_alert(ground: Ground) -> None:
    world = World(ground).look()
    record = one_surge(world)
    for place, hour in enumerate((SURGE.start, SURGE.start + 1, SURGE.start - 1, SURGE.start)):
        world.extra += hour_rows(hour, 0.4, rows=500 + place)
        world.look()
    assert one_surge(world) == record


def late_files_that_make_an_alert(ground: Ground) -> None:
    world = World(ground, CALM).look()
    assert world.log() == [] and world.lines() == []
    world.extra = [one for hour in SURGE for one in hour_rows(hour, 0.7, rows=2000)]
    world.look()
    record = one_surge(world)
    world.extra += hour_rows(SURGE.stop, 0.7, rows=2000)
    assert one_surge(world.look()) == record


def files_that_come_too_late(ground: Ground) -> None:
    world = World(ground, CALM).look()
    world.extra = hour_rows(40, 0.7, rows=5000)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert world.look().log() == []
    assert "1 windows changed more than 1 days back and are not judged" in said.getvalue()


def surge_of_a_new_model(ground: Ground) -> None:
    new = "1" * 16
    rows = [*hours(SURGE.start - 2), *hours(240, dict.fromkeys(SURGE, 0.3), first=SURGE.start - 2, model=new)]
    world = World(ground, rows).look().look()
    [record] = world.log()
    assert record.status == "held back" and record.reason is not None and new in record.reason
    assert world.lines() == [] and record.model_fingerprint == new


def table_rescored_after_an_alert(ground: Ground) -> None:
    world = World(ground).look()
    record = one_surge(world)
    world.rows = hours(240, dict.fromkeys(SURGE, 0.3), model="1" * 16)
    assert one_surge(world.look()) == record


def state_of_alerts_lost(ground: Ground) -> None:
    world = World(ground).look()
    record = one_surge(world)
    state = ground.own / "alerts" / "judged.json"
    state.unlink()
    assert one_surge(world.look()) == record
    state.write_bytes(b'{"windows": {"shop"')
    assert one_surge(world.look()) == record
    assert judged.read_judged(str(ground.own / "alerts")).windows


def record_of_an_alert_damaged(ground: Ground) -> None:
    world = World(ground).look()
    [path] = (ground.own / "alerts" / "log").glob("*.json")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StageError, match=r"00000000\.json: found no record of an alert"):
        world.look()


def alert_that_nobody_takes(ground: Ground) -> None:
    with receiver() as server:
        server.answers = [500] * 100
        world = World(ground).add_webhook(server.url, attempts=1).look()
        record = one_surge(world)
        world.clock.time += datetime.timedelta(days=8)
        world.look()
        noted = ground.own / "alerts" / "delivered" / "webhook-desk" / f"{record.id}.json"
        assert b"given up" in noted.read_bytes()
        server.answers = []
        world.look()
        assert server.ids == []


def log_file_cut_off(ground: Ground) -> None:
    world = World(ground)
    (ground.own / "alerts.log").write_text("an earlier line\n2026-03-11T12:")
    world.look()
    earlier, line = world.lines()
    assert earlier == "an earlier line" and world.log()[0].id in line
    (ground.own / "alerts" / "delivered" / "log_file" / f"{world.log()[0].id}.json").unlink()
    world.look()
    assert world.lines() == [earlier, line]


FAULTS: list[Fault[Ground]] = fault_table(
    fast=[
        webhook_down,
        webhook_slow,
        webhook_failing_at_first,
        webhook_refusing,
        alert_that_nobody_takes,
        killed_at_any_step,
        two_runs_at_once,
        two_runs_that_know_different_counts,
        many_runs_at_once,
        clock_of_alerts_going_back,
        clocks_changed_by_law,
        window_without_rows,
        window_with_one_row,
        window_with_a_billion_rows,
        late_files_after_an_alert,
        late_files_that_make_an_alert,
        files_that_come_too_late,
        surge_of_a_new_model,
        table_rescored_after_an_alert,
        state_of_alerts_lost,
        record_of_an_alert_damaged,
        log_file_cut_off,
    ],
    slow=[],
)
