"""A config with values replaced: what YAML reads from it, and what people wrote beside."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines.tuning.config_text import config_with

TEXT = """# A pipeline
name: x   # its name
seed:
train:
  # The rate matters most
  learning_rate: 1.0e-4  # of AdamW
  epochs: 1
ring: {ranks: 2}
score:
  inputs:
    - {name: a, path: "a.csv"}
    - name: b
      path: >-
        long
        text
"""


def replaced(tmp_path: Path, text: str, *words: str) -> str:
    config = tmp_path / "x.yaml"
    config.write_text(text)
    return config_with(str(config), words, "best")


def test_values_are_replaced_in_place_and_comments_stay(tmp_path: Path) -> None:
    text = replaced(
        tmp_path,
        TEXT,
        "train.learning_rate=3.0e-05",
        "train.weight_decay=0.1",
        "ring.launcher=mpirun",
        "spark.conf.a.b=1",
        "score.inputs.0.path=b c.csv",
        "seed=3",
    )
    values = yaml.safe_load(text)
    assert values["train"] == {"learning_rate": 3e-05, "epochs": 1, "weight_decay": 0.1}
    assert values["ring"] == {"ranks": 2, "launcher": "mpirun"} and values["spark"] == {"conf": {"a.b": 1}}
    assert values["score"]["inputs"][0] == {"name": "a", "path": "b c.csv"} and values["seed"] == 3
    for kept in ("# best\n", "# A pipeline", "# its name", "# The rate matters most", "  # of AdamW", "long\n"):
        assert kept in text


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("a: &x {b: 1}\nc: *x\n", "c.b=2", {"a": {"b": 1}, "c": {"b": 2}}),  # yaml shares the part, and load does not
        ("a: {}\n", "a.b.c=[1, 2]", {"a": {"b": {"c": [1, 2]}}}),
        ("a:\n  b:\n    - 1\n    - 2\nc: 3\n", "a.b={x: 1}", {"a": {"b": {"x": 1}}, "c": 3}),
        ("a:\nb: 1\n", "a.c=true", {"a": {"c": True}, "b": 1}),
        ("a: |\n  text\nb: 1\n", "a=x", {"a": "x", "b": 1}),
        ("a: 'é'\nb: 1\n", "b='yes: no'", {"a": "é", "b": "yes: no"}),
    ],
)
def test_whatever_is_replaced_yaml_reads_what_was_meant(
    tmp_path: Path, text: str, word: str, expected: dict[str, object]
) -> None:
    assert yaml.safe_load(replaced(tmp_path, text, word)) == expected
