"""Every row of the table of faults: quarantine or a clear error, nothing lost, nothing twice, none half published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault_table import Fault, as_parameters, failures_page, rows_told
from tests.spark_jobs.faults.ground import Ground
from tests.spark_jobs.faults.layouts import LAYOUTS, identical_shard_layouts
from tests.spark_jobs.faults.registry import FAULTS, fault_points_survived

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults") / "shared"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", as_parameters(FAULTS))
def test_fault(fault: Fault[Ground], shared: Path, tmp_path: Path) -> None:
    fault.check(Ground(shared, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_layouts_publish_the_same_bytes(tmp_path: Path) -> None:
    assert identical_shard_layouts(tmp_path) == len(LAYOUTS) == 6


def test_the_page_of_failures_tells_of_every_row_and_no_other() -> None:
    assert sorted(rows_told(failures_page()[0])) == sorted(fault.name for fault in FAULTS)


def test_a_row_that_fails_does_not_count() -> None:
    def fine(_ground: Ground) -> None: ...

    def wrong(_ground: Ground) -> None:
        raise AssertionError

    assert fault_points_survived([Fault(fine, slow=False), Fault(wrong, slow=False)]) == 1
