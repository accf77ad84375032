"""The figures need neither a model nor a ring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import training.figures


def test_figures_load_numpy_alone() -> None:
    folder = Path(training.figures.__file__).parent
    modules = ", ".join(f"training.figures.{path.stem}" for path in sorted(folder.glob("[!_]*.py")))
    engines = {"torch", "sklearn", "scipy", "pyarrow", "horovod"}
    code = f"import sys, {modules}; print(sorted({engines} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
