"""The moments at which a rank is killed, from the start of the ring to the model's record."""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

_DURING_SECONDS = 0.002


class Point(NamedTuple):
    """A moment in the life of a rank.

    `target` is `module:attribute`, or `ring:operation` for the ring of the process; the rank dies before, during or
    after the `call`-th call whose paths hold all of `match`, or `half` way through the removal of a directory.
    `ranks` are those that are really killed there. Other starts than the first may never come to a point.
    """

    name: str
    target: str
    when: Literal["before", "during", "after", "half"]
    call: int = 1
    match: tuple[str, ...] = ()
    ranks: tuple[int, ...] = (0,)


_CHECKPOINTS, _MODELS, _RECORD = "/checkpoints/", "/models/", "published.json"

POINTS = [
    Point("before_the_ring", "training.ring.launch:_join", "before"),
    Point("in_the_ring", "training.train:open_ring", "after", ranks=(1,)),
    Point("before_resuming", "training.checkpoint:Checkpoints.load_newest", "before"),
    Point("before_sharing_state", "training.preparation:share_state", "before"),
    Point("after_sharing_state", "training.preparation:share_state", "after", ranks=(1,)),
    Point("before_the_first_read", "training.reader:ShardReader._window", "before", ranks=(1,)),
    Point("after_the_first_read", "training.reader:_batch", "after"),
    Point("before_forward", "training.step:Stepper._backward", "before", 5, ranks=(1,)),
    Point("after_backward", "training.step:Stepper._backward", "after", 5, ranks=(0, 1)),
    Point("inside_allreduce", "ring:allreduce_sum", "during", 6, ranks=(0, 1)),
    Point("after_allreduce", "ring:allreduce_sum", "after", 8, ranks=(1,)),
    Point("after_the_optimizer_step", "training.step:Stepper.step", "after", 7),
    Point("before_metrics", "training.metrics:MetricsLog.write", "before", 8),
    Point("after_metrics", "training.metrics:MetricsLog.write", "after", 8),
    Point("before_the_log_of_samples", "training.sample_log:SampleLog.flush", "before", 2),
    Point("after_the_log_of_samples", "training.sample_log:SampleLog.flush", "after", 2, ranks=(1,)),
    Point("before_comparing_weights", "training.loop:check_same", "before", 2, ranks=(1,)),
    Point("while_rank_0_saves", "training.loop:first_rank_only", "before", 2, ranks=(1,)),
    Point("before_a_checkpoint", "training.checkpoint:Checkpoints.save", "before", 2),
    Point("between_files_of_a_checkpoint", "mapring.contract:write_file", "after", 3, (_CHECKPOINTS,)),
    Point("before_a_checkpoint_s_manifest", "mapring.contract:publish", "before", 2, (_CHECKPOINTS,)),
    Point("before_a_checkpoint_s_record", "os:link", "before", 2, (_CHECKPOINTS, _RECORD)),
    Point("after_a_checkpoint_s_record", "mapring.contract:publish", "after", 2, (_CHECKPOINTS,)),
    Point("while_an_old_checkpoint_goes", "mapring.storage:remove_tree", "half", 2, ("step-00000003",)),
    Point("after_the_last_step", "training.train:run_training", "after", ranks=(1,)),
    Point("in_evaluation", "training.tasks.classification:Classification.evaluate", "before", 2, ranks=(0, 1)),
    Point("before_leaving_the_ring", "ring:shutdown", "before"),
    Point("after_leaving_the_ring", "ring:shutdown", "after", ranks=(1,)),
    Point("before_the_export", "training.train:publish_model", "before"),
    Point("between_files_of_the_model", "mapring.contract:write_file", "after", 2, (_MODELS,)),
    Point("before_the_onnx_export", "training.export:export_onnx", "before"),
    Point("after_the_onnx_export", "training.export:export_onnx", "after"),
    Point("before_the_model_s_record", "os:link", "before", 1, (_MODELS, _RECORD)),
    Point("after_the_model_s_record", "mapring.contract:publish", "after", 1, (_MODELS,)),
]


def point_of(name: str) -> Point:
    """A point by its name, or by `NAME@CALL` for another call of it."""
    wanted, _, call = name.partition("@")
    found = next(point for point in POINTS if point.name == wanted)
    return found._replace(call=int(call)) if call else found


@contextmanager
def planted(point: Point, die: Callable[[], Any]) -> Iterator[None]:
    """Inside the body, call `die` when this process comes to the point."""
    owner, name = _owner(point.target)
    real = getattr(owner, name)
    calls = 0

    @functools.wraps(real)
    def disturbed(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        paths = " ".join(str(argument) for argument in arguments if isinstance(argument, str | os.PathLike))
        calls += all(part in paths for part in point.match)
        if calls != point.call or not all(part in paths for part in point.match):
            return real(*arguments, **named)
        if point.when == "before":
            die()
        elif point.when == "half":
            Path(str(arguments[0]), _RECORD).unlink()
            die()
        elif point.when == "during":
            threading.Timer(_DURING_SECONDS, die).start()
        result = real(*arguments, **named)
        if point.when == "after":
            die()
        return result

    with mock.patch.object(owner, name, disturbed):
        yield


def _owner(target: str) -> tuple[Any, str]:
    """What holds the function, and its name there."""
    where, _, path = target.partition(":")
    if where == "ring":
        return _ring(), path
    owner: Any = importlib.import_module(where)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, name


def _ring() -> type[Any]:
    if "HOROVOD_RANK" in os.environ or "OMPI_COMM_WORLD_RANK" in os.environ:
        from training.ring.horovod_ring import HorovodRing

        return HorovodRing
    from training.ring.single import SingleRing

    return SingleRing
