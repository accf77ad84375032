"""The import walls of setup.cfg hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_import_contracts_hold() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_the_ground_floor_loads_no_engine() -> None:
    code = (
        "import sys, mapring, mapring.plan, mapring.contract.verify, mapring.scores.work, mapring.text;"
        "print(sorted({'pyspark', 'torch', 'transformers', 'horovod'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_contract_needs_only_the_standard_library_and_pyarrow() -> None:
    code = (
        "import sys, mapring.contract.manifest, mapring.contract.schemas;"
        "print(sorted({'pydantic', 'yaml', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
