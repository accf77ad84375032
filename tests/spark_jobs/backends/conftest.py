"""A tiny run directory, made once: the export of its graph takes seconds."""

from __future__ import annotations

import pytest

from tests.spark_jobs.backends.tiny_run import TinyRun, make_tiny_run


@pytest.fixture(scope="package")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    return make_tiny_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(made_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A copy that a test may damage."""
    return made_run.copy_to(tmp_path_factory.mktemp("copy") / "run")
