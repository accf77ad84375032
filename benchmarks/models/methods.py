"""Every model and method on one task, and what augmentation and regularization give: sentences of four domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.models.trained import DOMAINS, Trained, trained
from benchmarks.results import Figure, figure
from benchmarks.sentences import sentences

_SMALL = ("train.freeze_embeddings=false", "train.learning_rate=0.002", "train.epochs=3")

METHODS: Mapping[str, Sequence[str]] = {
    "full": (),
    # Of rank 16 at 0.0005 and 0.001, and rank 32 at 0.0007, the last was best on a validation split: 0.777, full 0.776.
    "lora": ("train.method={name: lora, rank: 32, alpha: 64}", "train.learning_rate=0.0007"),
    "adalora": ("train.method.name=adalora", "train.learning_rate=0.002"),
    "prefix": ("train.method.name=prefix", "train.learning_rate=0.005"),
    "adapter": ("train.method.name=adapter", "train.learning_rate=0.001"),
    "lstm": ("train.model={architecture: lstm}", *_SMALL),
    "bag_of_words": ("train.model={architecture: bag_of_words}", *_SMALL),
}
REGULARIZED: Mapping[str, Sequence[str]] = {
    "augmentation": (
        "train.augmentation.drop_words=0.1",
        "train.augmentation.swap_words=0.1",
        "train.augmentation.crop=0.1",
    ),
    "r_drop": ("train.objective.r_drop=1.0",),
    "fgm": ("train.objective.fgm=0.5",),
}


def of_sentences(name: str, overrides: Sequence[str]) -> Trained:
    """A training on the sentences of all domains, with settings other than the demo's."""
    plan = sentences("models", DOMAINS, test=0.15)
    return trained(name, plan.config, overrides)


def method_figures() -> list[Figure]:
    """The accuracy of LoRA beside that of full fine-tuning; the others stand in the table of docs/models.md."""
    found = {name: of_sentences(name, words) for name, words in METHODS.items()}
    gap = found["lora"].accuracy - found["full"].accuracy
    return [
        figure("lora_accuracy_minus_full", gap, -0.01, "share", peer="full fine-tuning"),
        *(
            figure(f"{name}_accuracy", model.accuracy, found["bag_of_words"].accuracy, "share", peer="a bag of words")
            for name, model in found.items()
            if name != "bag_of_words"
        ),
    ]


def regularizer_figures() -> list[Figure]:
    """The accuracy that augmentation and regularization give beside none."""
    none = of_sentences("full", METHODS["full"]).accuracy
    return [
        figure(f"{name}_accuracy_gain", of_sentences(name, words).accuracy - none, 0.0, "share", peer="none of them")
        for name, words in REGULARIZED.items()
    ]
