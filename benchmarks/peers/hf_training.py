"""The transformers Trainer: `torchrun ... hf_training.py defaults|best MODEL ROWS LABELS SETTINGS OUTPUT`.

Takes token ids (ROWS/train.pt and ROWS/test.pt, lists of `input_ids` and `labels`), trains, evaluates the test split,
and saves the model into OUTPUT. SETTINGS is JSON. `defaults` are those of TrainingArguments but for learning rate,
epochs and the frozen embeddings; `best` has bf16 where the processor computes it, rows grouped by length, our batch
and our schedule, a static graph, and no worker processes, which would take cores from the ranks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)


def arguments_of(what: str, settings: dict[str, Any], output: str) -> TrainingArguments:
    """The arguments of each of the two."""
    common = {
        "output_dir": output,
        "learning_rate": settings["learning_rate"],
        "num_train_epochs": settings["epochs"],
        "use_cpu": True,
        "seed": 17,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if what == "defaults":
        return TrainingArguments(**common)
    return TrainingArguments(
        **common,
        bf16=settings["bf16"],
        train_sampling_strategy="group_by_length",
        per_device_train_batch_size=settings["rows_per_rank"],
        per_device_eval_batch_size=64,
        warmup_steps=settings["warmup_share"],
        weight_decay=settings["weight_decay"],
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        ddp_static_graph=True,
        save_strategy="no",
    )


def main() -> None:
    """Train, evaluate, save."""
    what, directory, rows, labels, words, output = sys.argv[1:]
    settings = json.loads(words)
    args = arguments_of(what, settings, output)
    model = AutoModelForSequenceClassification.from_pretrained(directory, num_labels=int(labels))
    if settings["freeze_embeddings"]:
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=torch.load(Path(rows, "train.pt")),
        eval_dataset=torch.load(Path(rows, "test.pt")),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda found: {
            "accuracy": float(np.mean(found.predictions.argmax(-1) == found.label_ids)),
        },
    )
    trained = trainer.train()
    evaluation = trainer.evaluate()
    trainer.save_model()
    if trainer.is_world_process_zero():
        values = {"accuracy": evaluation["eval_accuracy"], "train_seconds": trained.metrics["train_runtime"]}
        Path(output, "figures.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main()
