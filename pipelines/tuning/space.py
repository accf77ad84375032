"""What a search may try: the space of the settings, each of its ends built and checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mapring.errors import SettingsError
from mapring.plan import Plan, make_plan
from mapring.settings import Settings, load_settings
from mapring.settings.train import Train
from mapring.settings.tune import Candidates, setting_types

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `step` None takes every value, of whole ones every whole number."""

    low: float
    high: float
    log: bool
    step: float | None
    is_whole: bool


@dataclass(frozen=True)
class Choices:
    """The values themselves, as the settings have them."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Space:
    """What is tried by the names of the settings, and the `defaults`, which are the values as they stand."""

    ranges: Mapping[str, Range | Choices]
    defaults: Mapping[str, Value]


def make_space(plan: Plan) -> Space:
    """The space of a plan's settings, after settings have been built at every end and choice of it.

    Raises:
        SettingsError: the space is empty, or an end of it is no valid setting.
    """
    tune = plan.settings.tune
    if not tune.space:
        raise SettingsError(
            f"{plan.config}: tune.space: is missing; name settings to try, such as "
            "{train.learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}}"
        )
    ranges = {name: _checked(plan, name, candidates) for name, candidates in tune.space.items()}
    for end in (0, -1):
        together = {name: _ends(kind)[end] for name, kind in ranges.items()}
        _build(plan, together)
    return Space(ranges, {name: value_of(plan.settings, name) for name in ranges})


def _checked(plan: Plan, name: str, candidates: Candidates) -> Range | Choices:
    if candidates.choices:
        texts = str in setting_types(name, Train)
        values = [value_of(_build(plan, {name: choice}), name) for choice in candidates.choices]
        if texts:  # a text may name something in the world, such as the directory of a model
            for choice in candidates.choices:
                make_plan(plan.config, [*plan.overrides, *override_words({name: choice})])
        if len(set(map(repr, values))) < len(values):
            raise SettingsError(f"{plan.config}: tune.space.{name}.choices: found a value twice; give each once")
        return Choices(tuple(values))
    assert candidates.low is not None and candidates.high is not None
    is_whole = float not in setting_types(name, Train)
    found = Range(candidates.low, candidates.high, candidates.log, candidates.step, is_whole)
    for value in _ends(found):
        _build(plan, {name: value})
    return found


def _ends(kind: Range | Choices) -> list[Value]:
    """Values that stand for all: the ends, and in between the first that a coarser grid would pass over."""
    if isinstance(kind, Choices):
        return [kind.values[0], kind.values[-1]]
    if not kind.is_whole:
        return [kind.low, kind.high]
    return [int(kind.low), min(int(kind.low + (kind.step or 1)), int(kind.high)), int(kind.high)]


def _build(plan: Plan, values: Mapping[str, Value]) -> Settings:
    try:
        return load_settings(plan.config, [*plan.overrides, *override_words(values)])
    except SettingsError as error:
        told = ", ".join(override_words(values))
        raise SettingsError(
            f"{error}; tune.space would try it ({told}): leave it out by other ends, a step, or choices"
        ) from None


def value_of(settings: Settings, name: str) -> Any:
    """The value of a setting by its dotted name."""
    found: Any = settings
    for part in name.split("."):
        found = getattr(found, part)
    return found


def override_words(values: Mapping[str, Value]) -> list[str]:
    """Values as the words KEY=VALUE that the command line takes."""
    return [f"{name}={value_text(value)}" for name, value in values.items()]


def value_text(value: Any) -> str:
    """A value as YAML writes it in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def trial_words(values: Mapping[str, Value], *, watched: bool) -> Sequence[str]:
    """The overrides of a trial: its values, no baselines, and an evaluation at every checkpoint where it is watched."""
    words = override_words(values)
    if "baselines" in Train.model_fields:
        words.append("train.baselines=false")
    return [*words, "train.evaluate_checkpoints=true"] if watched else words
