"""What a scoring would do, told without Spark; also when inputs come with other columns."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mapring.errors import SettingsError
from mapring.plan import make_plan
from mapring.scores.work import find_work
from pipelines.dry_run import print_work
from tests.pipelines.committed import commit_answers
from tests.tiny import config_values, write_world


def test_inputs_with_other_columns_are_a_source_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without the text column is refused by name; named as another source, it rescores nothing."""
    config, _ = write_world(tmp_path)
    days = tmp_path / "days"
    days.mkdir()
    (days / "monday.csv").write_text("text\ngood film\n")
    values = config_values(tmp_path)
    old = {"name": "old", "path": str(days / "mon*.csv"), "format": "csv"}
    values["score"]["inputs"] = [{**old, "path": str(days)}]
    Path(config).write_text(yaml.safe_dump(values))
    plan = make_plan(config)
    commit_answers(plan, [{"label": "positive", "score": 0.9}])
    (days / "tuesday.csv").write_text("body\nawful day\nsad day\n")
    with pytest.raises(SettingsError, match=r"text_column: .*tuesday\.csv"):
        make_plan(config)
    new = {"name": "new", "path": str(days / "tue*.csv"), "format": "csv", "text_column": "body"}
    values["score"]["inputs"] = [old, new]
    Path(config).write_text(yaml.safe_dump(values))
    _, work = find_work(make_plan(config))
    assert [file.relative for file in work.score] == ["tuesday.csv"] and not work.leaving
    print_work(make_plan(config, ["score.rescore=true"]))
    told = " ".join(capsys.readouterr().out.split())
    assert "2 inputs to score (1 asked for, 1 new), 0 unchanged" in told and "monday.csv" in told
    assert "1 files of the table would be replaced, which have 1 rows" in told
