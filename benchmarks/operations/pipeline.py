"""A pipeline of its own for a benchmark of scoring: the benchmarks' model, and what is to be scored."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from benchmarks.scoring.ground import Ground


def write_pipeline(place: Ground, home: Path, name: str, values: dict[str, Any]) -> str:
    """Give a folder, which exists, a run directory that holds the model, and a config.

    Args:
        place: the model and its texts.
        home: the folder; its `run` becomes the run directory.
        name: of the pipeline and its config.
        values: further settings; those of `score` choose the model here.

    Returns:
        The config's path.
    """
    model = Path(place.model_directory)
    shutil.copytree(model, home / "run" / "models" / model.name)
    corpus = {"name": "texts", "path": str(place.texts), "format": "parquet", "label_column": "label"}
    config = home / f"{name}.yaml"
    settings = {
        "name": name,
        "run_dir": str(home / "run"),
        "preprocess": {"inputs": [corpus], "tokenizer": place.stock_directory},
        "train": {"model": place.stock_directory},
        "spark": {"master": "local[2]"},
        **values,
        "score": {"model": model.name, **values["score"]},
    }
    config.write_text(yaml.safe_dump(settings))
    return str(config)
