"""Every row of the table of scoring's faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault_table import Fault, as_parameters, failures_page, rows_told
from tests.spark_jobs.scoring_faults.ground import Ground
from tests.spark_jobs.scoring_faults.registry import FAULTS

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scoring") / "shared"


@pytest.mark.parametrize("fault", as_parameters(FAULTS))
def test_fault(fault: Fault[Ground], shared: Path, tmp_path: Path) -> None:
    fault.check(Ground(shared, tmp_path))


def test_the_page_of_failures_tells_of_every_row_and_no_other() -> None:
    assert sorted(rows_told(failures_page()[2])) == sorted(fault.name for fault in FAULTS)
