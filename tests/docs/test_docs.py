"""The documentation is complete and true: every command, setting, make target, file and YAML key it must name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from mapring.contract.schemas import answer_schema, score_schema
from mapring.filter_rules import RULE_NAMES
from mapring.settings import Settings, load_settings
from mapring.settings.answers import Answers
from mapring.settings.combinations import MODES
from mapring.settings.schema import Preprocess
from pipelines.cli import app
from scripts import write_docs

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("mapring", "spark_jobs", "training", "pipelines")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py")


def read(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    sections = set(re.findall(r"^## mapring (\w+)$", read("docs/commands.md"), re.MULTILINE))
    assert sections == commands


def test_every_make_target_is_documented_and_listed_by_help() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    documented = set(re.findall(r"`make ([a-z-]+)`", read("docs/commands.md")))
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert documented == targets == set(re.findall(r"^make ([a-z-]+)", listed, re.MULTILINE))


def test_the_settings_page_is_what_the_settings_say() -> None:
    assert write_docs.render() == read("docs/settings.md"), "run `make docs`"


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        *(
            f"docs/{name}.md"
            for name in (
                "commands",
                "preprocessing",
                "failures",
                "corpora",
                "training",
                "models",
                "ring",
                "scores",
                "scoring",
                "schedule",
                "watching",
                "care",
                "retrieval",
                "ranker",
                "report",
                "first_use",
                "pretraining",
                "chinese",
                "customer_service",
                "recommendation",
                "financial_opinion",
            )
        ),
        "docs/scores.md",
        "docs/scoring.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", read(page)):
        assert ((ROOT / page).parent / target).exists(), target


def test_commands_in_the_readme_exist() -> None:
    text = read("README.md") + read("docs/commands.md")
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"(?:bin/|`)mapring (\w+)", text)) <= commands
    for script in re.findall(r"spark-submit .*?(spark_jobs/\w+\.py)", text):
        assert (ROOT / script).is_file()


def test_the_readme_s_example_is_a_valid_pipeline(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", read("README.md"), re.DOTALL)
    assert found is not None
    config = tmp_path / "reviews.yaml"
    config.write_text(found.group(1))
    assert load_settings(str(config)).preprocess.inputs[0].name == "shop"


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.yaml")), ids=lambda path: path.name)
def test_every_pipeline_in_conf_is_valid(path: Path) -> None:
    settings = load_settings(str(path))
    assert isinstance(settings, Settings) and yaml.safe_load(path.read_text())["name"] == path.stem


def test_the_drafts_of_customer_service_and_their_decoder_are_valid_settings(tmp_path: Path) -> None:
    text = read("conf/customer_service.yaml")
    block = text[text.index("  # draft:") :].partition("\n\n")[0]
    config = tmp_path / "service.yaml"
    config.write_text(text.replace(block, re.sub(r"(?m)^  # ", "  ", block)))
    score = load_settings(str(config)).score
    assert score is not None and score.draft is not None and score.generation.max_new_tokens == 96
    [found] = re.findall(r"```yaml\n(name: drafter\n.*?)```", read("docs/customer_service.md"), re.DOTALL)
    (tmp_path / "drafter.yaml").write_text(found)
    decoder = load_settings(str(tmp_path / "drafter.yaml"))
    assert decoder.train.task == "clm" and decoder.run_dir == score.draft.model


def test_the_map_names_every_module_and_no_other() -> None:
    text = read("ARCHITECTURE.md")
    missing = [
        str(path.relative_to(ROOT)) for path in MODULES if path.name not in text and path.parent.name not in text
    ]
    assert not missing
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert any(str(path).endswith(name) for path in [*MODULES, *(ROOT / "scripts").glob("*.py")]), name


def test_no_module_takes_the_name_of_a_standard_one() -> None:
    """spark-submit puts the script's folder first on sys.path."""
    taken = [path.name for path in (ROOT / "spark_jobs").glob("*.py") if path.stem in sys.stdlib_module_names]
    assert not taken


def test_no_file_holds_what_belongs_to_one_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    words = re.compile(r"(^|[^.\w])/(wor[k]|roo[t]|hom[e])/\w|pypi\.or[g]|files\.pythonhoste[d]")
    found = [
        name for name in tracked if (ROOT / name).is_file() and words.search((ROOT / name).read_text(errors="replace"))
    ]
    assert not found


def test_the_yaml_of_the_preprocessing_page_is_valid() -> None:
    for block in re.findall(r"```yaml\n(.*?)```", read("docs/preprocessing.md"), re.DOTALL):
        values = {"inputs": [{"name": "a", "path": "a.txt", "format": "text"}], "tokenizer": None}
        Preprocess.model_validate({**values, **yaml.safe_load(block)["preprocess"]})


def test_the_pipelines_of_the_corpora_page_are_valid_and_their_ledgers_add_up(tmp_path: Path) -> None:
    sections = read("docs/corpora.md").split("\n## ")[1:]
    assert len(sections) == 3
    for section in sections:
        found = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
        assert found is not None
        config = tmp_path / "corpus.yaml"
        config.write_text(found.group(1))
        load_settings(str(config))
        read_in, kept = (
            int(number.replace(",", "")) for number in re.findall(r"read ([\d,]+), kept ([\d,]+)", section)[-1]
        )
        rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", section, re.MULTILINE)
        assert sum(int(number.replace(",", "")) for _, number in rows) == read_in - kept
        assert all(rule in RULE_NAMES or f"`{rule}`" in read("docs/preprocessing.md") for rule, _ in rows)


def test_the_preprocessing_page_names_every_table_of_the_statistics() -> None:
    text = read("docs/preprocessing.md")
    written = set(
        re.findall(r'tables\["(\w+)"\]|\{?"(\w+)": (?:sum_|cluster_|measure_)', read("spark_jobs/counting/stage.py"))
    )
    for names in written:
        assert f"`{names[0] or names[1]}`" in text
    assert len(written) >= 6


def test_the_scores_page_has_every_column_of_every_mode_and_no_other() -> None:
    page = read("docs/scores.md").partition("\n## Backends\n")[0]
    found: dict[str, list[str]] = {}
    for mode, column in re.findall(r"^\|(?: `(\w+)`)? \|[^|]*\| `(\w+)` \|", page, re.MULTILINE):
        found.setdefault(mode or list(found)[-1], []).append(column)
    assert found == {mode: answer_schema(mode).names[:-2] for mode in MODES}
    whole = re.findall(r"^\| `(\w+)` \| [^|]*\| [^|]*\|$", page, re.MULTILINE)
    assert whole == [name for name in score_schema("embed").names if name != "embedding"]


@pytest.mark.parametrize("page", ["retrieval", "ranker", "recommendation"])
def test_pipelines_and_commands_of_a_page_are_valid(page: str, tmp_path: Path) -> None:
    text = read(f"docs/{page}.md")
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    inputs = [{"name": "a", "path": "a.csv", "format": "csv", "label_column": "label"}]
    values = {
        "name": page,
        "run_dir": str(tmp_path),
        "preprocess": {"inputs": inputs, "tokenizer": "t"},
        "train": {"model": "m"},
        **yaml.safe_load(found[1]),
    }
    config = tmp_path / "page.yaml"
    config.write_text(yaml.safe_dump(values))
    commands = re.findall(r"^mapring (\w+) \S+ ?(.*)$", text, re.MULTILINE)
    assert commands and {name for name, _ in commands} <= set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for _, words in commands:
        load_settings(str(config), words.split())


def test_the_first_use_is_what_init_writes_and_its_commands_exist(tmp_path: Path) -> None:
    text = read("docs/first_use.md")
    commands = re.findall(r"^mapring (\w+) (\S+) ?(.*)$", text, re.MULTILINE)
    assert {name for name, _, _ in commands} == {"init", "run", "score"}
    options = {option for parameter in _parameters("init") for option in parameter.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", " ".join(re.findall(r"`mapring init[^`]*`", text)))) <= options
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    config = tmp_path / "tweets.yaml"
    config.write_text(found[1])
    for name, _, words in commands:
        if name != "init":
            load_settings(str(config), words.split())
    assert load_settings(str(config)).preprocess.inputs[0].name == Path(commands[0][1]).stem


def test_every_option_of_init_is_documented() -> None:
    section = read("docs/commands.md").partition("## mapring init\n")[2].partition("\n## ")[0]
    options = {option for parameter in _parameters("init") for option in parameter.opts if option.startswith("--")}
    assert set(re.findall(r"`(--[a-z-]+)`", section)) == options - {"--help"}


def _parameters(command: str) -> list[Any]:
    return list(typer.main.get_command(app).commands[command].params)  # type: ignore[attr-defined]


def test_the_udf_s_examples_on_the_scores_page_are_known_settings() -> None:
    for words in re.findall(r"^mapring\.\w+_udf\(model, (.*)\)$", read("docs/scores.md"), re.MULTILINE):
        Answers.model_validate(eval(f"dict({words})"))
