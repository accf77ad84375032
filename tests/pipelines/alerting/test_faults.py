"""Every row of the table of alerts' faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault_table import Fault, as_parameters, rows_told, told_of_alerts
from tests.pipelines.alerting.faults import FAULTS
from tests.pipelines.alerting.world import Ground


@pytest.mark.parametrize("fault", as_parameters(FAULTS))
def test_fault(fault: Fault[Ground], tmp_path: Path) -> None:
    fault.check(Ground(tmp_path))


def test_the_page_of_failures_tells_of_every_row_and_no_other() -> None:
    assert sorted(rows_told(told_of_alerts())) == sorted(fault.name for fault in FAULTS)
