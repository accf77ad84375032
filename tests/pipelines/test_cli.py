"""The command line: wrong settings are one line and exit code 2, before anything is started."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml
from typer.testing import CliRunner

from mapring import storage
from mapring.contract import publish
from mapring.contract.retired import note_retired
from pipelines.cli import app, main
from tests.mapring.publishing import publish as publish_model
from tests.mapring.scores.test_verify import committed
from tests.mapring.test_contract import make_shards, published_files
from tests.tiny import config_values, write_world

COMMANDS = ("run", "preprocess", "train", "score")


def fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["mapring", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("trian.epochs=1", "trian: unknown key; did you mean train?"),
        ("train.epochs=one", "train.epochs: found 'one'"),
        ("preprocess.inputs.0.path=nowhere/*.csv", "preprocess.inputs.0.path: found no file at 'nowhere/*.csv'"),
        ("preprocess.inputs.0.text_column=txet", "has no column 'txet'; it has 'id', 'text', 'label'"),
        ("preprocess.inputs.3.format=csv", "preprocess.inputs.3"),
        ("run_dir=/proc/none", "run_dir: cannot write to '/proc/none'"),
        ("train.model=/nowhere", "train.model: found no config.json in '/nowhere'"),
        ("preprocess.tokenizer=package://no_such/x", "found no installed package 'no_such'"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_two(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    override: str,
    part: str,
) -> None:
    config, _ = write_world(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a process was started"))
    code, message = fail(monkeypatch, capsys, command, config, override)
    assert code == 2
    assert message.startswith(f"error: {config}: ") and message.count("\n") == 1
    assert part in message


def test_a_store_that_refuses_is_one_line_and_an_error_of_ours_a_stack_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = write_world(tmp_path)
    refused = type("NoCredentialsError", (Exception,), {"__module__": "botocore.exceptions"})
    for error in (refused("Unable to locate credentials"), ZeroDivisionError()):
        monkeypatch.setattr(storage, "list_files", mock.Mock(side_effect=error))
        if isinstance(error, ZeroDivisionError):
            with pytest.raises(ZeroDivisionError):
                fail(monkeypatch, capsys, "run", config)
        else:
            code, message = fail(monkeypatch, capsys, "run", config)
            assert code == 1 and message.count("\n") == 1
            assert "refuses (NoCredentialsError: Unable to locate credentials); check addresses" in message


def test_a_missing_config_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = fail(monkeypatch, capsys, "run", "none.yaml")
    assert (code, message) == (2, "error: none.yaml: found no such file, expected a pipeline's YAML; check the path\n")


def test_verify_passes_what_is_whole_and_names_every_flipped_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run" / "shards" / ("0" * 16)
    publish(str(directory), make_shards(directory))
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(config_values(tmp_path)))
    for target in (directory, tmp_path / "run", config):
        result = CliRunner().invoke(app, ["verify", str(target)])
        assert (result.exit_code, result.stdout) == (0, f"{directory}: ok\n")
    for path in published_files(directory):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 4]))
        code, message = fail(monkeypatch, capsys, "verify", str(tmp_path / "run"))
        assert code == 1 and "1 of 1 published directories are damaged" in message
        result = CliRunner().invoke(app, ["verify", str(tmp_path / "run")])
        assert str(path) in result.stdout
        path.write_bytes(content)


def test_verify_does_not_mistake_a_dead_attempt_for_damage_or_nothing_for_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run" / "shards" / ("0" * 16)
    manifest = make_shards(directory)
    code, message = fail(monkeypatch, capsys, "verify", str(tmp_path / "run"))
    assert code == 1 and "found nothing published" in message
    publish(str(directory), manifest)
    make_shards(tmp_path / "run" / "shards" / ("1" * 16))
    result = CliRunner().invoke(app, ["verify", str(tmp_path / "run")])
    assert result.exit_code == 0 and "an attempt that was not published" in result.stdout
    (directory / "published.json").unlink()
    code, message = fail(monkeypatch, capsys, "verify", str(tmp_path / "run"))
    assert code == 1


def test_verify_notices_that_the_log_of_the_scores_or_a_model_of_their_rows_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, model = tmp_path / "run", tmp_path / "run/models" / ("0" * 16)
    scores = run / "scores"
    publish_model(model)
    committed(str(scores), ("a.txt",))

    def told() -> str:
        code, message = fail(monkeypatch, capsys, "verify", str(run))
        assert code == 1 and "published directories are damaged" in message
        return CliRunner().invoke(app, ["verify", str(run)]).stdout

    assert CliRunner().invoke(app, ["verify", str(run)]).exit_code == 0
    shutil.move(model, tmp_path / "elsewhere")
    assert f"{model}: is missing, rows of {scores} were made with it" in told()
    result = CliRunner().invoke(app, ["verify", str(scores)])
    assert result.exit_code == 0, "a table by itself may stand without a run directory"
    note_retired(str(run), "models", "0" * 16, b"record", "vacuum")
    assert CliRunner().invoke(app, ["verify", str(run)]).exit_code == 0, "it was removed on purpose"
    shutil.rmtree(scores / "_delta_log")
    assert f"{scores}/_delta_log: is missing, 1 versions of the table are sealed" in told()
    assert CliRunner().invoke(app, ["verify", str(scores)]).exit_code == 1
    shutil.rmtree(scores / "_mapring")
    shutil.move(tmp_path / "elsewhere", model)
    result = CliRunner().invoke(app, ["verify", str(run)])
    assert result.exit_code == 0 and f"{scores}: has files and no log" in result.stdout


def test_status_tells_what_is_there(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    result = CliRunner().invoke(app, ["status", config], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert result.stdout.count("not published") == 3
