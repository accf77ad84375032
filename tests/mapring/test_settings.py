"""Settings: what is wrong is said in one line that names file, key, value and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mapring.errors import SettingsError
from mapring.settings import Section, Settings, load_settings, output_settings
from mapring.settings.combinations import FROM_A_BANK, MODES_OF_TASK, TASKS, TaskName, chosen_mode


def minimal() -> dict[str, Any]:
    return {
        "name": "tiny",
        "run_dir": "runs/tiny",
        "preprocess": {
            "inputs": [{"name": "a", "path": "a.csv", "format": "csv", "label_column": "label"}],
            "tokenizer": "model",
        },
        "train": {"model": "model"},
        "score": {"inputs": [{"name": "b", "path": "b.txt", "format": "text"}]},
    }


def write(tmp_path: Path, values: Any) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return str(path)


def test_a_minimal_file_takes_the_defaults(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, minimal()))
    assert settings.train.global_batch == 32
    assert settings.preprocess.inputs[0].encoding == "utf-8"


def test_overrides_are_typed_and_reach_into_lists(tmp_path: Path) -> None:
    config = write(tmp_path, minimal())
    settings = load_settings(
        config,
        ["train.epochs=3", "score.inputs.0.path=c.txt", "ring.hosts=null", "spark.conf.a.b=2", "spark.conf.c=true"],
    )
    assert settings.train.epochs == 3
    assert settings.score.inputs[0].path == "c.txt"
    assert settings.spark.conf == {"a.b": "2", "c": "true"}


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("train.epoch=3", ["train.epoch", "unknown key", "did you mean epochs?"]),
        ("train.epochs=many", ["train.epochs", "'many'", "valid integer", "Passes over the training split"]),
        ("train.epochs=0", ["train.epochs", "found 0", "greater than or equal to 1"]),
        ("train.model=null", ["train.model", "found None", "expected a transformers directory"]),
        ("preprocess.lanes=5", ["global_batch", "found 32", "multiple of preprocess.lanes (5)"]),
        ("ring={discovery_script: d.sh, hosts: 'a:2'}", ["ring", "needs launcher horovodrun and no hosts"]),
        ("ring={discovery_script: d.sh, ranks: 2, min_ranks: 3}", ["ring", "min_ranks 3", "in ascending order"]),
        ("ring.ranks=17", ["ring.ranks", "found 17", "at most preprocess.lanes (16)"]),
        ("score.inputs.0.label_column=x", ["score.inputs.0", "format text has no columns"]),
        (
            "score.inputs.0={name: b, path: b.csv, format: csv, label_column: x}",
            ["score", "inputs.0.label_column", "scoring does not use it"],
        ),
        (
            "preprocess.inputs.0={name: b, path: b.txt, format: text, time_column: x}",
            ["preprocess.inputs.0", "time_column: found 'x'", "format text has no columns"],
        ),
        (
            "preprocess.inputs.0={name: b, path: b, format: text_file, group_column: x}",
            ["group_column: found 'x'", "format text_file has no columns"],
        ),
        ("preprocess.inputs.0={name: b, path: b, format: warc, text_column: x}", ["text_column: found 'x'", "remove"]),
        ("preprocess.inputs.0={name: b, path: b, format: warc, encoding: latin-1}", ["encoding: found 'latin-1'"]),
        (
            "preprocess={normalization: {keep_lines: true}, filters: {c4_lines: true}, "
            "duplicates: {parts: {unit: paragraph}}, inputs: [{name: a, path: a, format: text}], tokenizer: model}",
            ["duplicates.parts.unit", "found paragraph with filters.c4_lines=true", "unit=line", "c4_lines=false"],
        ),
        ("preprocess.inputs.0.weight=0", ["preprocess.inputs.0.weight", "found 0", "greater than 0"]),
        ("preprocess.inputs.0.weight=.inf", ["preprocess.inputs.0.weight", "found inf"]),
        ("preprocess.inputs.0.split=dev", ["preprocess.inputs.0.split", "'train', 'validation' or 'test'"]),
        (
            "preprocess.inputs.0={name: b, path: b, format: text, split: test, weight: 2}",
            ["weight: found 2.0 with split test", "only training text is sampled"],
        ),
        ("score.inputs.0.weight=2", ["inputs.0.weight: found 2.0", "scoring does not use it; remove it"]),
        ("score.inputs.0.split=test", ["inputs.0.split: found 'test'", "scoring does not use it"]),
        (
            "preprocess.inputs=[{name: b, path: b, format: text, split: test}]",
            ["preprocess: inputs: found only inputs with split", "nothing to train on"],
        ),
        (
            "preprocess.decontamination.inputs=[{name: b, path: b, format: text, split: test}]",
            ["decontamination.inputs.0.split: found 'test'", "decontamination does not use it; remove it"],
        ),
        ("preprocess.labels=two", ["preprocess.labels", "found 'two'", "'one', 'several' or 'number'"]),
        (
            "preprocess={inputs: [{name: b, path: b, format: text}], tokenizer: null, labels: number}",
            ["labels: found number", "no input has a label_column"],
        ),
        ("preprocess.label_separator=;", ["label_separator: found ';' with labels=one", "set labels=several"]),
        ("preprocess.label_separator=''", ["preprocess.label_separator", "found ''"]),
        (
            "preprocess.inputs=[{name: b, path: b, format: tsv, second_text_column: x}, "
            "{name: c, path: c, format: tsv}]",
            ["inputs.1.second_text_column: found none for 'c'", "for every input, or for none"],
        ),
        (
            "preprocess.inputs.0={name: b, path: b, format: text, second_text_column: x}",
            ["second_text_column: found 'x'", "format text has no columns"],
        ),
        (
            "preprocess.inputs.0={name: b, path: b, format: warc, second_text_column: x}",
            ["second_text_column: found 'x'", "a page in a warc is one text; remove it"],
        ),
        (
            "score.inputs.0={name: b, path: b.csv, format: csv, second_text_column: x}",
            ["score.inputs.0.second_text_column: found 'x' with train.task=classify on single texts", "remove it"],
        ),
        (
            "preprocess={inputs: [{name: b, path: b, format: tsv, second_text_column: x}], tokenizer: t, "
            "packing: best_fit}",
            ["inputs.0.second_text_column: found 'x' with packing=best_fit", "has no pairs"],
        ),
        (
            "preprocess={inputs: [{name: b, path: b, format: tsv, second_text_column: x}], tokenizer: t, "
            "normalization: {keep_lines: true}, duplicates: {parts: {unit: line}}}",
            ["duplicates.parts.unit: found line with second_text_column", "set duplicates.parts.unit=none"],
        ),
        ("nonsense=1", ["nonsense", "unknown key", "use one of: name, run_dir"]),
    ],
)
def test_a_wrong_value_is_one_line_naming_file_key_and_remedy(tmp_path: Path, override: str, parts: list[str]) -> None:
    config = write(tmp_path, minimal())
    with pytest.raises(SettingsError) as caught:
        load_settings(config, [override])
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(config)
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("word", ["epochs", "=3", "train.epochs.a.b=1", "score.inputs.7.path=x", "a=[1"])
def test_a_malformed_override_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(
        SettingsError,
        match=r"expected KEY=VALUE|nothing can be set|position|not valid YAML|no key|train\.epochs: found",
    ):
        load_settings(write(tmp_path, minimal()), [word])


def test_an_override_changes_one_section_where_an_alias_names_another_ones_inputs(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        """
        name: tiny
        run_dir: runs/tiny
        preprocess:
          inputs: &inputs [&first {name: a, path: old.csv, format: csv}]
          tokenizer: model
        train: {model: model}
        score:
          inputs: *inputs
        """,
    )
    settings = load_settings(config, ["score.inputs.0.path=new.csv"])
    assert settings.preprocess.inputs[0].path == "old.csv" and settings.score.inputs[0].path == "new.csv"


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    config = write(tmp_path, "name: tiny\ntrain: {epochs: 5}\nrun_dir: runs/tiny\ntrain: {model: model}\n")
    with pytest.raises(SettingsError, match=r"tiny\.yaml: line 4 .* the key 'train' twice, first in line 2"):
        load_settings(config)
    with pytest.raises(SettingsError, match="the key 'epochs' twice"):
        load_settings(write(tmp_path, minimal()), ["train={epochs: 1, epochs: 2, model: model}"])


def test_a_merged_key_may_stand_a_second_time(tmp_path: Path) -> None:
    text = """
        name: tiny
        run_dir: runs/tiny
        preprocess:
          inputs: [&first {<<: {format: text, encoding: cp1252}, name: a, path: a.csv, format: csv}]
          tokenizer: model
        train: {model: model}
        score: {inputs: [{<<: *first, name: b}]}
        """
    settings = load_settings(write(tmp_path, text))
    assert settings.score is not None
    found = [*settings.preprocess.inputs, *settings.score.inputs]
    assert [(one.name, one.format, one.encoding) for one in found] == [("a", "csv", "cp1252"), ("b", "csv", "cp1252")]


def test_an_alias_below_its_own_anchor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="an alias below its own anchor"):
        load_settings(write(tmp_path, "name: tiny\npreprocess: &a {inputs: [*a]}\n"))


def test_a_missing_key_tells_what_it_is(tmp_path: Path) -> None:
    values = minimal()
    del values["train"]["model"]
    with pytest.raises(SettingsError, match=r"train\.model: is missing; add it \(Pretrained transformers directory"):
        load_settings(write(tmp_path, values))


def test_two_inputs_of_one_name_are_refused(tmp_path: Path) -> None:
    values = minimal()
    values["preprocess"]["inputs"] *= 2
    with pytest.raises(SettingsError, match="the name 'a' twice"):
        load_settings(write(tmp_path, values))


@pytest.mark.parametrize(("content", "part"), [("a: [1", "line 1"), ("- 1", "a list"), ("", "nothing")])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path: Path, content: str, part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        load_settings(write(tmp_path, content))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="found no such file"):
        load_settings(str(tmp_path / "none.yaml"))


def test_every_setting_says_whether_it_changes_the_output_and_what_it_means() -> None:
    sections = Section.__subclasses__()
    assert Settings in sections and len(sections) >= 8
    for section in sections:
        for name, field in section.model_fields.items():
            extra = field.json_schema_extra
            assert isinstance(extra, dict) and extra["affects"] in ("output", "execution"), f"{section.__name__}.{name}"
            assert field.description, f"{section.__name__}.{name}"


def test_execution_settings_stay_out_of_the_fingerprint(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, minimal()))
    values = output_settings(settings.preprocess)
    assert "max_quarantined_share" not in values
    assert "path" not in values["inputs"][0]
    assert values["inputs"][0]["format"] == "csv"


def test_packed_sequences_refuse_weights_that_differ(tmp_path: Path) -> None:
    values = minimal()
    first = {key: value for key, value in values["preprocess"]["inputs"][0].items() if key != "label_column"}
    values["preprocess"] |= {"packing": "best_fit", "inputs": [first, {**first, "name": "other", "weight": 2}]}
    with pytest.raises(SettingsError, match=r"found weights 1\.0, 2\.0 with packing=best_fit.*set packing=none"):
        load_settings(write(tmp_path, values))
    values["preprocess"]["inputs"][0]["weight"] = 2
    assert load_settings(write(tmp_path, values)).preprocess.packing == "best_fit"


def test_a_key_can_be_set_below_a_text_that_stands_for_a_section(tmp_path: Path) -> None:
    config = write(tmp_path, minimal())
    settings = load_settings(config, ["train.method=lora", "train.method.rank=4", "train.model.directory=/other"])
    assert (settings.train.method.name, settings.train.method.rank) == ("lora", 4)
    assert settings.train.model.directory == "/other"


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["train.task=mlm"], ["score.mode: found task=mlm", "no likelihood of a text", "train a model with task=clm"]),
        (["score.mode=embed"], ["score.mode: found embed with task=classify, expected classify or answer; remove it"]),
        (["score.mode=vectors"], ["score.mode", "found 'vectors'"]),
        (["score.generation.max_new_tokens=3"], ["score.generation: found it with mode classify, expected generate"]),
        (["score.generation.seed=3"], ["score.generation", "seed: found 3 with temperature 0", "set a temperature"]),
        (["score.generation.stop=['.', '']"], ["score.generation", "stop: found an empty string", "remove it"]),
        (["train.task=regression", "score.top_k=2"], ["score.top_k: found it with mode regression"]),
        (["train.task=regression", "score.probabilities=true"], ["expected classify, answer or multilabel; remove it"]),
        (["train.task=multilabel", "score.abstain_below=0.5"], ["score.abstain_below: found it with mode multilabel"]),
        (["train.task=embed", "score.explain_share=0.1"], ["score.explain_share: found it with mode embed"]),
        (["train.task=clm", "score.explain_share=0.1"], ["score.explain_share: found it with mode perplexity"]),
        (
            ["train.task=regression", "score.backend=auto"],
            ["score.backend: found auto for a model of the task regression, whose", "set score.backend=torch"],
        ),
        (
            [
                "score.backend=onnx",
                "preprocess.inputs.0={name: a, path: a.csv, format: csv, second_text_column: x}",
                "score.inputs.0={name: a, path: a.csv, format: csv, second_text_column: x}",
            ],
            ["score.backend: found onnx for a model of pairs", "set score.backend=torch"],
        ),
        (["train.task=clm", "train.method=adapter"], ["score.mode: found train.task=clm with train.method=adapter"]),
        (
            ["train.task=clm", "score.mode=generate", "train.model={architecture: lstm}"],
            ["score.mode: found generate with train.model.architecture=lstm", "or mode perplexity"],
        ),
        (
            [
                "train.task=clm",
                "score.mode=generate",
                "preprocess.inputs.0={name: a, path: a.csv, format: csv, second_text_column: x}",
                "score.inputs.0={name: a, path: a.csv, format: csv, second_text_column: x}",
            ],
            ["score.mode: found generate with preprocess.inputs.0.second_text_column", "remove one of the two"],
        ),
        (
            ["preprocess.inputs.0={name: a, path: a.csv, format: csv, second_text_column: x}"],
            ["score.inputs.0.second_text_column: found 'none'", "models read pairs; name the second text"],
        ),
        (
            [
                "train.task=embed",
                "preprocess.inputs.0={name: a, path: a.csv, format: csv, second_text_column: x}",
                "score.inputs.0={name: a, path: a.csv, format: csv, second_text_column: x}",
            ],
            ["score.inputs.0.second_text_column: found 'x' with train.task=embed", "models read one text; remove it"],
        ),
        (["score.abstain_below=1.5"], ["score.abstain_below", "found 1.5"]),
    ],
)
def test_what_a_model_cannot_be_asked_is_refused_in_one_line(
    tmp_path: Path, overrides: list[str], parts: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, minimal()), overrides)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def test_the_backend_of_another_model_is_left_to_its_manifest(tmp_path: Path) -> None:
    words = ["train.task=regression", "score.backend=auto", f"score.model={'f00d' * 4}"]
    assert load_settings(write(tmp_path, minimal()), words).train.task == "regression"


@pytest.mark.parametrize("task", TASKS)
def test_every_mode_of_a_task_is_taken(tmp_path: Path, task: TaskName) -> None:
    config = write(tmp_path, minimal())
    for mode in MODES_OF_TASK[task]:
        bank = ["score.retrieval.bank=[{name: b, path: b.txt, format: text}]"] if mode in FROM_A_BANK else []
        settings = load_settings(config, [f"train.task={task}", f"score.mode={mode}", *bank])
        assert settings.score is not None and chosen_mode(task, settings.score.mode) == mode
    if MODES_OF_TASK[task]:
        assert chosen_mode(task, None) == MODES_OF_TASK[task][0]


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("['<ask>', '<ask>']", "found '<ask>' twice; give each once"),
        ("['[MASK]']", r"found '\[MASK\]', which tokenizers have anyway"),
        ("['<0x0A>']", "found '<0x0A>', which tokenizers have anyway"),
        ('["\\n"]', r"found '\\n', which is no word"),
    ],
)
def test_reserved_tokens_are_tokens_of_their_own(tmp_path: Path, tokens: str, said: str) -> None:
    path = write(tmp_path, minimal())
    word = f"preprocess.tokenizer={{train: bpe, reserved_tokens: {tokens}}}"
    with pytest.raises(SettingsError, match=said):
        load_settings(path, [word])
