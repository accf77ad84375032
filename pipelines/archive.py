"""The archive of our code that `spark-submit --py-files` hands to executors: `python -m pipelines.archive OUT`."""

from __future__ import annotations

import io
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from mapring.progress import say

PACKAGES = ("mapring", "spark_jobs")
_TIME = (1980, 1, 1, 0, 0, 0)  # the oldest that zip knows: equal code gives equal bytes


def package_directory(name: str) -> Path:
    """Where one of our packages is installed, found without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"package {name!r} is not installed; run scripts/setup.sh")
    return Path(spec.submodule_search_locations[0])


def archive_bytes() -> bytes:
    """The zip's content: the Python files that executors import."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            root = package_directory(package)
            for path in sorted(root.rglob("*.py")):
                name = f"{package}/{path.relative_to(root).as_posix()}"
                archive.writestr(zipfile.ZipInfo(name, _TIME), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return sink.getvalue()


def write_archive(target: Path) -> Path:
    """Write the archive; returns its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(archive_bytes())
    return target


if __name__ == "__main__":
    say("dist", f"wrote {write_archive(Path(sys.argv[1]))}")
