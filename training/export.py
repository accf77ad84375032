"""Publish a trained model: transformers directory, ONNX, golden rows, evaluation, card, manifest."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mapring import contract, lineage, storage
from mapring.base_model import license_of, named_directory, transformers_directory
from mapring.contract import RECORD_NAME, FileEntry, Manifest
from mapring.errors import StageError
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings import output_settings
from training import mistakes
from training.card import model_card
from training.checkpoint import Cursor
from training.golden import GoldenRow, golden_rows, to_parquet
from training.loop import Training
from training.methods import is_stock, save_parts
from training.mistakes import Mistake
from training.model import config_of
from training.onnx_export import GraphTooLargeError, can_export, export_onnx


def publish_model(
    training: Training,
    cursor: Cursor,
    evaluation: Mapping[str, Any],
    reference: Mapping[str, Any] | None,
    worst: Sequence[Mistake] = (),
) -> None:
    """Build everything, prove it, and publish it at `plan.model_directory`. Rank 0 only.

    Args:
        training: with the finished model.
        cursor: of its end.
        evaluation: figures of the splits.
        reference: `reference_distribution` of the model.
        worst: its worst mistakes on the reference's split.

    Raises:
        StageError: the directory cannot be written, or the ONNX export is not equal to the model.
        PublishedError: the shards do not fit their own tokenizer.
    """
    directory = training.plan.model_directory
    try:
        _publish(training, cursor, evaluation, reference, worst)
    except OSError as error:
        raise StageError(
            f"{directory}: cannot be written ({error}); make room or check the permissions, then start again"
        ) from None


def _publish(
    training: Training,
    cursor: Cursor,
    evaluation: Mapping[str, Any],
    reference: Mapping[str, Any] | None,
    worst: Sequence[Mistake],
) -> None:
    plan, task, model = training.plan, training.task, training.model
    shards, directory = contract.read_manifest(plan.shards_directory), plan.model_directory
    model.eval()
    with tempfile.TemporaryDirectory() as folder:
        stock = Path(folder, "transformers")
        _save_transformers(training, shards, stock)
        golden = golden_rows(task, model, plan.shards_directory, stock, int(shards.details["max_length"]))
        files, name = _write_transformers(directory, stock)
    parts = {
        **_graph(training, golden),
        "golden": _write(directory, "golden", to_parquet(golden, task.output_name), ".parquet", len(golden)),
        "evaluation_file": _write(directory, "evaluation", _pretty(evaluation), ".json"),
        **({"reference": _write(directory, "reference", _pretty(reference), ".json")} if reference else {}),
        **_mistakes(training, reference, worst),
    }
    base = plan.settings.train.model.directory
    details = {
        "task": task.name,
        "method": plan.settings.train.method.name,
        "labels": shards.details["labels"],
        "max_length": shards.details["max_length"],
        "text": output_settings(plan.settings.preprocess.normalization),
        "transformers": name if is_stock(model) else None,
        "tokenizer": name,
        "padding_id": int(config_of(model).pad_token_id or 0),  # decoders look for it to find a row's last token
        "base_license": None if base is None else license_of(base),
        "reference": None,
        "mistakes": None,
        **{part: entry.path for part, entry in parts.items()},
        "evaluation": evaluation,
        "temperature": evaluation["test"].get("temperature"),
        "precision": cursor.precision,
        "world_size": cursor.world_size,
        "steps": cursor.best_step or cursor.step,
        **({"stopped_at_step": cursor.step} if plan.settings.train.patience else {}),
        "throughput": {
            "samples_per_second": cursor.rows / cursor.seconds,
            "tokens_per_second": cursor.tokens / cursor.seconds,
            "seconds": cursor.seconds,
        },
    }
    settings = output_settings(plan.settings.train)
    card = model_card(
        name=plan.settings.name,
        fingerprint=plan.model,
        base_model=str(plan.settings.train.model),
        shards=plan.shards,
        details=details,
        settings=settings,
    )
    parts["card"] = _write(directory, "README", card.encode(), ".md")
    manifest = Manifest(
        kind="model",
        fingerprint=plan.model,
        created=contract.utc_now(),
        code_version=contract.code_version(),
        settings={**settings, "seed": plan.settings.seed},
        inputs=_inputs(plan),
        files=(*files, *parts.values()),
        details={**details, "card": parts["card"].path},
    )
    contract.publish(directory, manifest)


def _graph(training: Training, golden: Sequence[GoldenRow]) -> dict[str, FileEntry]:
    """The model as an ONNX file; nothing where it has none, or transformers loads it and it is too large for one."""
    task, model = training.task, training.model
    if not can_export(task, model):
        return {}
    try:
        content = export_onnx(task, model, list(golden))
    except GraphTooLargeError as error:
        if not is_stock(model):
            raise
        say("train", f"published without an ONNX graph, so that torch alone scores it: {error}")
        return {}
    return {"onnx": _write(training.plan.model_directory, "model", content, ".onnx")}


def _mistakes(
    training: Training, reference: Mapping[str, Any] | None, worst: Sequence[Mistake]
) -> dict[str, FileEntry]:
    """The file of the worst mistakes; nothing where there are none."""
    if reference is None or not worst:
        return {}
    shards = training.plan.shards_directory
    content = mistakes.to_parquet(worst, reference["split"], training.task.name, shards)
    return {"mistakes": _write(training.plan.model_directory, "mistakes", content, ".parquet", len(worst))}


def _save_transformers(training: Training, shards: Manifest, folder: Path) -> None:
    """A directory that stock transformers loads: the model's own files and those of the shards' tokenizer.

    Of a model that holds what no stock architecture has, such as adapters, only these parts, beside their base.
    """
    model, shards_directory = training.model, training.plan.shards_directory
    if is_stock(model):
        model.save_pretrained(folder)  # type: ignore[operator]
    else:
        save_parts(model, training.plan.settings.train, training.head, folder)
    tokenizer = shards.details["tokenizer"]
    for file in tokenizer["files"]:
        content = storage.read_bytes(storage.join(shards_directory, tokenizer["path"], file))
        Path(folder, file).write_bytes(content)


def _write_transformers(directory: str, folder: Path) -> tuple[list[FileEntry], str]:
    """Write the files below a name that their contents determine."""
    name = f"transformers-{lineage.directory_identity(str(folder))[:16]}"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    entries = [
        contract.write_file(directory, f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        for path in files
    ]
    return entries, name


def _write(directory: str, stem: str, content: bytes, suffix: str, rows: int | None = None) -> FileEntry:
    return contract.write_file(directory, contract.content_name(stem, content, suffix), content, rows)


def _pretty(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"


def _inputs(plan: Plan) -> tuple[Mapping[str, Any], ...]:
    record = storage.read_bytes(storage.join(plan.shards_directory, RECORD_NAME))
    shards = {"kind": "shards", "fingerprint": plan.shards, "record_sha256": hashlib.sha256(record).hexdigest()}
    train = plan.settings.train
    return (
        shards,
        *_base_model(train.model.directory),
        *_teacher(train.distillation.teacher),
        *_replayed(train.replay.shards),
    )


def _base_model(directory: str | None) -> Iterator[Mapping[str, Any]]:
    """The model that was started from, by its content; a published one also by its fingerprint."""
    if directory is not None:
        yield {"kind": "base_model", **_earlier_model(directory)}


def _teacher(directory: str | None) -> Iterator[Mapping[str, Any]]:
    """The model that was learned from, in the same way."""
    if directory is not None:
        yield {"kind": "teacher", **_earlier_model(directory)}


def _earlier_model(directory: str) -> Mapping[str, Any]:
    identity = lineage.directory_identity(transformers_directory(directory))
    named_by = named_directory(directory)
    named = {"fingerprint": contract.read_manifest(named_by).fingerprint} if contract.is_published(named_by) else {}
    return {"identity": identity, "path": directory, **named}


def _replayed(directory: str | None) -> Iterator[Mapping[str, Any]]:
    """Shards of an earlier corpus, which may stand in another run directory."""
    if directory is None:
        return
    record = storage.read_bytes(storage.join(directory, RECORD_NAME))
    yield {
        "kind": "older_shards",
        "fingerprint": contract.read_manifest(directory).fingerprint,
        "record_sha256": hashlib.sha256(record).hexdigest(),
        "path": directory,
    }
