"""The mistakes of a first use, each found by trying: what was found, what was expected, and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mapring.errors import InputError, SettingsError, StageError
from mapring.plan import make_plan
from mapring.settings import load_settings
from pipelines.init import init
from pipelines.initializing.choosing import Asked
from pipelines.initializing.looking import look_at
from pipelines.launch import run_stage
from spark_jobs.labels import refuse_unlearnable
from tests.tiny import config_values, write_corpus, write_tokenizer


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid pipeline over one csv in the directory in which mapring is started."""
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus")
    write_tokenizer(tmp_path / "tokenizer").joinpath("config.json").write_text("{}")
    Path("mine.csv").write_text("id,text,label\n1,good film,yes\n2,bad film,no\n")
    values = config_values(tmp_path)
    values["preprocess"]["inputs"] = [{"name": "a", "path": "mine.csv", "format": "csv", "label_column": "label"}]
    values["score"]["inputs"] = [{"name": "a", "path": "mine.csv", "format": "csv"}]
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def refused(config: Path, *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        make_plan(str(config), overrides)
    return str(caught.value)


def test_the_pipeline_itself_is_sound(config: Path) -> None:
    make_plan(str(config))


# 1. The wrong column.


@pytest.mark.parametrize(
    ("wrong", "near"), [("Label", "label"), ("lable", "label"), ("Text", "text"), ("texts", "text")]
)
def test_of_a_wrong_column_the_nearest_is_told(config: Path, wrong: str, near: str) -> None:
    assert f"did you mean '{near}'?" in refused(config, f"preprocess.inputs.0.label_column={wrong}")


def test_ids_taken_for_labels_are_refused_by_init(config: Path) -> None:
    Path("many.csv").write_text("id,text\n" + "".join(f"{n},a text of some words {n}\n" for n in range(50)))
    with pytest.raises(SettingsError, match="50 different values in 50 rows, which looks like ids"):
        init("many.csv", Asked(label="id"), is_interactive=False)


@pytest.mark.parametrize(
    ("names", "documents", "part"),
    [
        ([f"id-{n}" for n in range(60)], 100, "60 different labels in 100 documents, which looks like ids or texts"),
        (["yes"], 100, "the label 'yes' in all documents, expected two or more"),
        (["yes"], 1, "the label 'yes' in all documents"),
        (["yes", "no"], 100, None),
        ([f"class-{n}" for n in range(50)], 100, None),
        ([f"class-{n}" for n in range(19)], 19, None),
    ],
)
def test_labels_that_nothing_can_be_learned_from_end_preprocessing(
    names: list[str], documents: int, part: str | None
) -> None:
    if part is None:
        refuse_unlearnable(names, documents, "my.yaml: here")
        return
    with pytest.raises(InputError) as caught:
        refuse_unlearnable(names, documents, "my.yaml: here")
    assert str(caught.value).startswith("my.yaml: here: found ") and part in str(caught.value)


def test_a_text_column_of_numbers_or_nothing_is_refused_by_init(config: Path) -> None:
    Path("odd.csv").write_text("n,nothing,label\n" + "".join(f"{n},,{'xy'[n % 2]}\n" for n in range(50)))
    for column, part in (("n", "found numbers such as '0', expected texts"), ("nothing", "no text in any of 50 rows")):
        with pytest.raises(SettingsError, match=part):
            init("odd.csv", Asked(text=column), is_interactive=False)


# 2. The wrong file or path.


def test_a_path_that_is_relative_to_the_config_is_recognized(config: Path) -> None:
    inner = config.parent / "sub"
    inner.mkdir()
    (inner / "other.csv").write_text("text,label\na,b\n")
    config.rename(inner / "my.yaml")
    told = refused(Path("sub/my.yaml"), "preprocess.inputs.0.path=other.csv")
    assert f"relative to the folder in which mapring is started, {config.parent}" in told
    assert "there is 'sub/other.csv': write that" in told


def test_the_data_in_place_of_the_config_leads_to_init(config: Path) -> None:
    assert refused(Path("mine.csv")) == (
        "mine.csv: found a file of data, expected a pipeline's YAML; write one for it: mapring init mine.csv"
    )
    with pytest.raises(SettingsError, match=r"my\.yaml: found a YAML.*mapring run my\.yaml"):
        look_at(Path("my.yaml"), None)


def test_a_file_that_is_not_there_is_told_with_its_neighbours(config: Path) -> None:
    with pytest.raises(SettingsError, match=r"mime\.csv: found no such file; .* has mine\.csv, my\.yaml"):
        look_at(Path("mime.csv"), None)


def test_the_name_of_a_model_on_a_hub_is_told_for_what_it_is(config: Path) -> None:
    told = refused(config, "train.model=bert-base-uncased")
    assert "which is no directory; nothing is downloaded from a model hub by its name" in told


# 3. A csv that is written otherwise.


@pytest.mark.parametrize(("separator", "name"), [(";", "a semicolon"), ("\t", "a tab"), ("|", "a vertical bar")])
def test_another_separator_is_recognized(config: Path, separator: str, name: str) -> None:
    Path("mine.csv").write_text(f"id{separator}text{separator}label\n1{separator}good{separator}yes\n")
    told = refused(config)
    assert f"parted by {name}: set preprocess.inputs.0.format=csv and preprocess.inputs.0.separator=" in told
    given = [f"{key}.inputs.0.separator={yaml.safe_dump(separator)}" for key in ("preprocess", "score")]
    make_plan(str(config), given)


def test_another_encoding_is_recognized(config: Path) -> None:
    Path("mine.csv").write_bytes("id,text,label,größe\n1,good,yes,2\n".encode("cp1252"))
    assert "set preprocess.inputs.0.encoding to cp1252 (Western Windows)" in refused(config)
    make_plan(str(config), [f"{key}.inputs.0.encoding=cp1252" for key in ("preprocess", "score")])
    Path("mine.csv").write_bytes("id,text,label\n1,good,yes\n".encode("utf-16"))
    assert "it is UTF-16: convert it with iconv -f UTF-16 -t UTF-8" in refused(config)


def test_a_csv_without_a_header_is_recognized(config: Path) -> None:
    Path("mine.csv").write_text(f"1,{'a text that goes on and on, '.replace(',', ' ') * 5},yes\n")
    told = refused(config)
    assert "its first line is no line of column names; add one on top of the file" in told and len(told) < 400


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.csv", b"PK\x03\x04....", "an Excel or zip file, expected lines of text; save it as csv"),
        ("a.csv", b"\x1f\x8b....", "compressed as .gz, which its name does not say; rename it: mv a.csv a.csv.gz"),
        ("a.csv", b"", "an empty file"),
        ("a.csv", b"text,label\n", "column names (text, label) and no rows"),
        ("a.csv", b"a,b\rc,d\r", "line ends of old Macs"),
        ("a.csv", "text,n\nab\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8 a.csv > utf8-a.csv"),
        ("a.csv", b"Dear all, see\nfine\nwell, well, well\n", "no separator"),
        ("a.json", b'[{"text": "a"}]', "one JSON list, expected an object a line"),
        ("a.jsonl", b"no json\n", "no line that is a JSON object"),
        ("a.docx", b"x", "pass --format csv"),
        ("a.parquet", b"no parquet", "cannot be read as parquet"),
    ],
)
def test_files_that_are_something_else_are_told_what_to_do(config: Path, name: str, content: bytes, part: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        look_at(Path(name), None)
    assert part in str(caught.value)


# 4. A typing error in the config.


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("trian.epochs=2", "trian: unknown key; did you mean train?"),
        ("train.epoch=2", "train.epoch: unknown key; did you mean epochs?"),
        ("train.seed=2", "train.seed: unknown key; did you mean seed or "),
        ("train.max_length=64", "train.max_length: unknown key; did you mean preprocess.max_length?"),
    ],
)
def test_unknown_keys_are_told_with_those_that_were_meant(config: Path, override: str, part: str) -> None:
    assert part in refused(config, override)


def test_tabs_in_a_config_are_told(tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("name: a\npreprocess:\n\tinputs: []\n")
    with pytest.raises(SettingsError, match="indent with spaces, not with tabs"):
        load_settings(str(config))


# 5. A program that is missing.


def test_without_java_nothing_is_started_and_the_remedy_is_told(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: pytest.fail("a process was started"))
    with pytest.raises(StageError, match=r"no Java in JAVA_HOME, which is /nowhere, .*apt-get install openjdk"):
        run_stage("preprocess", make_plan(str(config)))


@pytest.mark.parametrize("launcher", ["mpirun", "horovodrun"])
def test_without_its_launcher_a_ring_is_not_started(
    config: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    monkeypatch.setattr("pipelines.stages.program", lambda name, _python=None: name)
    monkeypatch.setenv("PATH", "/nowhere")
    plan = make_plan(str(config), [f"ring.launcher={launcher}"])
    with pytest.raises(StageError, match=f"no program '{launcher}'.*ring.ranks=1"):
        run_stage("train", plan)
