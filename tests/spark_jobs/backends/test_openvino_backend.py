"""OpenVINO in a process that has a life besides it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from spark_jobs.backends.openvino_backend import OpenVinoBackend

_SIGNALLED = """
import faulthandler, os, signal, sys
import numpy as np
from pathlib import Path
from spark_jobs.backends.openvino_backend import OpenVinoBackend

faulthandler.enable()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
ids = np.ones((2, 3), np.int64)
loaded = [OpenVinoBackend(Path(sys.argv[1]), 1, precision="f32") for _ in range(3)]
while loaded:
    loaded.pop(0).logits(ids, ids)
    os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signals_are_heard_while_backends_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    _save_graph(path)
    done = subprocess.run([sys.executable, "-c", _SIGNALLED, str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split() == ["heard"] * 3, done


def test_rows_without_tokens_are_not_repeated_without_end(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    _save_graph(path)
    nothing = np.ones((1, 0), np.int64)
    assert OpenVinoBackend(path, 1, precision="f32").logits(nothing, nothing).tolist() == [[0]]


def _save_graph(path: Path) -> None:
    """Of ids to their sums, with the names of a published model's graph."""
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "T"])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 1])
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["values", "axis"], ["logits"], keepdims=1),
    ]
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    graph = helper.make_graph(nodes, "sums", [ids], [output], [axis])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
