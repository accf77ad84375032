"""A training's memory: huge pages, asked for before anything is imported."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from training.huge_pages import begin_with_huge_pages

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these tunables")

_ROOT = Path(__file__).resolve().parents[2]
_LINUX_SAYS = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_GIVES_WHERE_ASKED = _LINUX_SAYS.exists() and "[madvise]" in _LINUX_SAYS.read_text()  # else never, or always
_HEAP = """
import json, os, sys
from training.huge_pages import begin_with_huge_pages
begin_with_huge_pages()
blocks = [bytearray(8 << 20) for _ in range(8)]
heap = open("/proc/self/smaps").read().split("[heap]")[1]
found = {
    "arguments": sys.argv[1:],
    "heap_megabytes": int(heap.split()[1]) >> 10,
    "is_huge": " hg" in heap.partition("VmFlags:")[2].partition("\\n")[0],
    "process": os.getpid(),
    "tunables": os.environ.get("GLIBC_TUNABLES"),
}
print(json.dumps(found))
"""


def _run(script: str, *arguments: str) -> tuple[str, int]:
    """What a new process of this script says, and its id."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    words = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(words, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        told, _ = process.communicate(timeout=60)
    return told, process.pid


def test_large_blocks_lie_in_a_heap_of_huge_pages_of_the_process_that_a_launcher_started() -> None:
    told, process = _run(_HEAP, "a b", "c")
    found = json.loads(told)
    assert found["arguments"] == ["a b", "c"]
    assert found["heap_megabytes"] >= 64
    assert found["is_huge"] or not _GIVES_WHERE_ASKED
    assert found["process"] == process
    assert found["tunables"] is None  # for processes that this one starts


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    begin_with_huge_pages()
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.arena_max=2"


@pytest.mark.parametrize("module", ["training.train", "benchmarks.lone_rank"])
def test_the_trainer_asks_before_it_imports_torch(module: str) -> None:
    told, _ = _run(
        "import os, runpy, sys\n"
        "os.execv = lambda *_: print('late' if 'torch' in sys.modules else 'in time') or sys.exit()\n"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    assert told == "in time\n"
