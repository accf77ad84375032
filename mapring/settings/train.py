"""Settings of the training: the task, the model and where it starts from, the method, the optimizer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from mapring.settings.augmentation import Augmentation
from mapring.settings.base import Section, changed_settings, execution, output
from mapring.settings.combinations import (
    OWN_ARCHITECTURES,
    MethodName,
    TaskName,
    augmentation_refusal,
    compression_refusal,
    distillation_refusal,
    model_kind,
    objective_refusal,
    refusal,
)
from mapring.settings.compression import Compression
from mapring.settings.distillation import Distillation
from mapring.settings.objective import Objective
from mapring.settings.replay import Replay
from mapring.settings.tracking import Tracking

OptimizerName = Literal["adamw", "sgd", "adafactor"]
ScheduleName = Literal["linear", "cosine", "constant"]

_USED_BY: dict[str, tuple[MethodName, ...]] = {
    "rank": ("lora", "adalora"),
    "alpha": ("lora", "adalora"),
    "dropout": ("lora", "adalora"),
    "prefix_tokens": ("prefix",),
    "adapter_width": ("adapter",),
}


class ModelSource(Section):
    """Either a pretrained directory, or an architecture that starts from random weights; plain text is a directory."""

    text_key = "directory"

    directory: str | None = output(
        None,
        description="Transformers directory, published model, run directory with one model, or package://NAME/PATH; "
        "its content counts, not its place.",
    )
    architecture: str | None = output(
        None,
        description="Start from random weights: a model type of transformers, such as bert, gpt2 or llama, or lstm, or "
        "bag_of_words.",
    )
    config: dict[str, Any] = output({}, description="Sizes of that architecture, by the names of its configuration.")

    @model_validator(mode="before")
    @classmethod
    def _is_needed(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("found None, expected a transformers directory, or keys with an architecture")
        return value

    @model_validator(mode="after")
    def _either_of_the_two(self) -> ModelSource:
        if (self.directory is None) == (self.architecture is None):
            found = "neither directory nor architecture" if self.directory is None else "both"
            raise ValueError(f"found {found}, expected one of directory and architecture")
        if self.directory is not None and self.config:
            raise ValueError("found config beside directory, whose own config.json counts; remove it")
        return self

    def __str__(self) -> str:
        return self.directory or f"{self.architecture} from random weights"


class Method(Section):
    """Which weights a training changes, and which it adds."""

    text_key = "name"

    name: MethodName = output(
        "full",
        description="full changes the model's own weights; lora, adalora, ia3, prefix and adapter add a few and leave "
        "those as they are, but for the head.",
    )
    frozen_layers: int = output(0, description="Lowest layers that stay as they are; only with full.", ge=0)
    rank: int = output(8, description="Rank of the added matrices; for adalora the mean rank that is kept.", ge=1)
    alpha: float = output(16.0, description="Scale of what the matrices add, over their rank.", gt=0)
    dropout: float = output(0.0, description="Dropout before the added matrices.", ge=0, lt=1)
    prefix_tokens: int = output(16, description="Learned keys and values before every sequence, in each layer.", ge=1)
    adapter_width: int = output(32, description="Units of the bottleneck behind each block.", ge=1)

    @model_validator(mode="after")
    def _settings_are_the_method_s(self) -> Method:
        for key in sorted(self.model_fields_set & _USED_BY.keys()):
            if self.name not in _USED_BY[key]:
                raise ValueError(f"found {key} with {self.name}, expected {' or '.join(_USED_BY[key])}; remove it")
        if self.frozen_layers and self.name != "full":
            raise ValueError(f"found frozen_layers with {self.name}, which changes no layer of the model; remove it")
        return self


class Train(Section):
    """Published shards to a published model."""

    task: TaskName = output(
        "classify",
        description="classify: one label a document; multilabel: any number of them; regression: a number; embed: "
        "texts of a pair near each other; mlm predicts masked tokens, clm the next token.",
    )
    model: ModelSource = output(
        description="Pretrained transformers directory, published model, package://NAME/PATH, or an architecture."
    )
    method: Method = output(Method(), description="Which weights are trained.")
    objective: Objective = output(Objective(), description="What a classifier minimizes.")
    distillation: Distillation = output(Distillation(), description="A larger model to learn from.")
    compression: Compression = output(Compression(), description="What of a pretrained model is kept.")
    augmentation: Augmentation = output(Augmentation(), description="How training rows are changed.")
    replay: Replay = output(Replay(), description="Rows of an earlier corpus among the new ones.")
    epochs: int = output(1, description="Passes over the training split.", ge=1)
    global_batch: int = output(
        32, description="Rows per optimizer step over all ranks; a multiple of preprocess.lanes.", ge=1
    )
    optimizer: OptimizerName = output(
        "adamw",
        description="sgd has one moment and adafactor sums of rows and columns in place of AdamW's two; the rate of "
        "adafactor is relative to each matrix's root mean square.",
    )
    momentum: float = output(0.9, description="Momentum of sgd.", ge=0, lt=1)
    learning_rate: float = output(5e-5, description="Peak learning rate.", gt=0, lt=1)
    scale_learning_rate: Literal["none", "linear", "square_root"] = output(
        "none", description="Multiply the rate by global_batch / 32, or by its square root."
    )
    schedule: ScheduleName = output(
        "linear", description="How the rate goes on behind the rise: to 0 in a line or half a cosine, or as it is."
    )
    warmup_share: float = output(0.1, description="Share of the steps in which the rate rises.", ge=0, le=1)
    weight_decay: float = output(
        0.01, description="Weight decay, on matrices only; decoupled from the gradient but for sgd.", ge=0
    )
    clip_norm: float = output(1.0, description="Largest global gradient norm.", gt=0)
    dropout: float | None = output(
        None,
        description="Every dropout probability of a transformers model; null leaves those of its own configuration, "
        "which newer architectures have at 0.",
        is_late=True,
        ge=0,
        lt=1,
    )
    freeze_embeddings: bool = output(False, description="Leave the embedding tables as they were pretrained.")
    gradient_checkpointing: bool = execution(
        False, description="Compute activations a second time instead of keeping them: less memory, more time."
    )
    mask_share: float = output(0.15, description="Share of a sequence's tokens that mlm masks.", gt=0, lt=1)
    temperature: float = output(
        0.05, description="What cosine similarities are divided by in embed; lower ones look at the nearest more.", gt=0
    )
    precision: Literal["auto", "fp32", "bf16"] = output(
        "auto", description="Arithmetic of forward and backward; auto measures both and takes the faster."
    )
    compile: bool = output(
        False, description="Let torch compile forward and backward; minutes at the start, and no gain on CPUs so far."
    )
    wire: Literal["fp32", "fp16"] = output(
        "fp32", description="What gradients are sent as; fp16 halves the bytes and rounds them to 11 bits."
    )
    shuffle_window: int = output(4096, description="Rows shuffled and sorted by length together, over all lanes.", ge=1)
    patience: int = output(
        0,
        description="End the training when the validation loss has not been below the least so far this many "
        "evaluations in a row, and publish the model of the least; 0 trains to the end and publishes the last.",
        ge=0,
    )
    patience_steps: int = output(
        100, description="Optimizer steps between the evaluations that patience counts, each with a checkpoint.", ge=1
    )
    baselines: bool = output(
        True,
        description="Also evaluate what a model has to beat: the most frequent label or set of labels, or the mean; "
        "linear models of TF-IDF weights, or their cosine for embed; frequencies of tokens for mlm and clm.",
    )
    worst_mistakes: int = output(
        12,
        description="Held-out rows that the model is most wrong about, noted with the training rows most like them, by "
        "their places in the shards; of classify, multilabel and regression.",
        ge=0,
        le=100,
    )
    robustness: bool = output(
        False, description="Also evaluate the test split with typing errors, other cases, dropped and swapped words."
    )
    device: Literal["auto", "cpu", "cuda"] = execution(
        "auto",
        description="Where ranks compute; auto takes CUDA where there is any, a GPU for each rank.",
    )
    checkpoint_every_steps: int = execution(100, description="Optimizer steps between checkpoints.", ge=1)
    log_samples: bool = execution(
        False, description="Write which documents each step was trained on below samples/ of the training directory."
    )
    tracking: Tracking = execution(Tracking(), description="Where curves go besides metrics.jsonl and TensorBoard.")
    keep_checkpoints: int = execution(2, description="Checkpoints kept; older ones are removed.", ge=1)
    evaluate_checkpoints: bool = execution(
        False, description="Evaluate the validation split at every checkpoint, and also keep the one of the least loss."
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Train:
        why = refusal(self.task, model_kind(self.model.architecture), self.method.name)
        why = why or objective_refusal(self.task, model_kind(self.model.architecture), changed_settings(self.objective))
        why = why or augmentation_refusal(self.task, changed_settings(self.augmentation))
        if self.distillation.teacher is not None:
            why = why or distillation_refusal(self.task, changed_settings(self.objective))
        kept = changed_settings(self.compression)
        why = why or compression_refusal(model_kind(self.model.architecture), self.method.name, kept)
        if why is not None:
            raise ValueError(why)
        if "momentum" in self.model_fields_set and self.optimizer != "sgd":
            raise ValueError(f"momentum: found it with optimizer={self.optimizer}, expected sgd; remove it")
        if "patience_steps" in self.model_fields_set and not self.patience:
            raise ValueError("patience_steps: found it without patience; set patience, or remove it")
        if self.robustness and self.task != "classify":
            raise ValueError(f"robustness: found true with task={self.task}, but it is a figure of classify; remove it")
        if self.compile and (found := self._uncompiled()) is not None:
            raise ValueError(f"compile: found true with {found}, which goes around what is compiled; set it to false")
        if self.model.architecture in OWN_ARCHITECTURES and (self.gradient_checkpointing or self.method.frozen_layers):
            key = "gradient_checkpointing" if self.gradient_checkpointing else "method.frozen_layers"
            raise ValueError(f"{key}: found it with {self.model.architecture}, which has no blocks; remove it")
        if self.dropout is not None and self.model.architecture in OWN_ARCHITECTURES:
            raise ValueError(f"dropout: found it with {self.model.architecture}; set it as model.config.dropout")
        return self

    def _uncompiled(self) -> str | None:
        """A setting beside which the compiled forward would not be used, or be compiled anew in each step."""
        if self.task in ("mlm", "clm"):
            return f"task={self.task}"
        if self.method.name != "full":
            return f"method={self.method.name}"
        for name in ("fgm", "mixup", "contrast"):
            if getattr(self.objective, name):
                return f"objective.{name}"
        if self.model.architecture in OWN_ARCHITECTURES:
            return f"model.architecture={self.model.architecture}"
        return "gradient_checkpointing" if self.gradient_checkpointing else None
