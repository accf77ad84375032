"""Settings of the search for hyperparameters, and what may stand in its space."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import field_validator, model_validator

from mapring.figure_names import LESS_IS_BETTER, MORE_IS_BETTER
from mapring.settings.base import Section, execution

_STAGE = "train"
_SAME_MODEL = ("train.baselines", "train.worst_mistakes")  # enter the fingerprint, but not the weights
_TOLERANCE = 1e-9  # of a number of steps, in which decimal fractions are not exact


class Candidates(Section):
    """The values that one setting may take: a range, or choices."""

    low: float | None = execution(None, description="Least value of a range.")
    high: float | None = execution(None, description="Greatest value of a range.")
    log: bool = execution(False, description="Draw the logarithm evenly; for settings whose magnitude matters.")
    step: float | None = execution(
        None, description="Distance of the values of a range; none takes every value, or every whole number.", gt=0
    )
    choices: tuple[bool | int | float | str | None, ...] = execution(
        (), description="The values themselves, instead of a range."
    )

    @model_validator(mode="after")
    def _is_a_range_or_choices(self) -> Candidates:
        if self.choices:
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ValueError("found choices and a range; give either choices, or low and high")
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError("found a choice twice; give each once")
            return self
        if self.low is None or self.high is None:
            raise ValueError("found neither choices nor low and high; give one of them")
        if self.low >= self.high:
            raise ValueError(f"found low {self.low:g} and high {self.high:g}; expected low to be the lesser one")
        if self.log and self.low <= 0:
            raise ValueError(f"found low {self.low:g} with log=true; expected a low above 0")
        if self.log and self.step is not None:
            raise ValueError("found log and step; give one of them")
        if self.step is not None:
            steps = (self.high - self.low) / self.step
            if abs(steps - round(steps)) > _TOLERANCE * max(1.0, steps):
                raise ValueError(
                    f"found high {self.high:g}, expected low {self.low:g} plus a multiple of step {self.step:g}"
                )
        return self


class Tune(Section):
    """The search of `mapring tune` for settings of train; nothing of it changes what other commands do."""

    trials: int = execution(20, description="Trainings to try, the one of the settings as they stand included.", ge=1)
    metric: str = execution(
        "loss",
        description="Figure of the validation split that is judged, such as accuracy or macro_f1; less is better of "
        f"{', '.join(LESS_IS_BETTER)}, more of all others.",
    )
    space: dict[str, Candidates] = execution(
        {}, description="What is tried, by the dotted names of settings of train, such as train.learning_rate."
    )
    pruning: bool = execution(
        True, description="End a training early that is worse than the median of the others at the same point."
    )
    startup_trials: int = execution(
        5, description="Trials at random, before the next are chosen by what they gave and any is ended early.", ge=1
    )
    seed: int = execution(17, description="Seed of what is tried.", ge=0, lt=2**31)
    keep_models: bool = execution(
        False, description="Keep models and checkpoints of all trials, and not only those of the best and the first."
    )

    @field_validator("metric")
    @classmethod
    def _is_known(cls, value: str) -> str:
        known = (*LESS_IS_BETTER, *MORE_IS_BETTER)
        if value not in known:
            close = difflib.get_close_matches(value, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"found {value!r}, expected one of: {', '.join(known)}{hint}")
        return value

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Where better values of the metric lie."""
        return "minimize" if self.metric in LESS_IS_BETTER else "maximize"


def check_space(space: Mapping[str, Candidates], train: type[Section]) -> None:
    """Refuse what is no setting that makes another model of the same shards; `train` is that stage's section.

    Raises:
        ValueError: the entry, what is wrong with it, and what to do.
    """
    for name, candidates in space.items():
        types = setting_types(name, train)
        if candidates.choices:
            continue
        if not {int, float} & types:
            raise ValueError(f"tune.space.{name}: found a range, but this setting is no number; give choices")
        if float not in types:
            for part in ("low", "high", "step"):
                value = getattr(candidates, part)
                if value is not None and value != int(value):
                    raise ValueError(f"tune.space.{name}.{part}: found {value:g}, expected a whole number")


def setting_types(name: str, train: type[Section]) -> set[Any]:
    """The types that an output setting of train takes, by its dotted name.

    Raises:
        ValueError: there is no such setting, or it does not change the model.
    """
    where = f"tune.space.{name}"
    stage, *parts = name.split(".")
    if stage != _STAGE or not parts:
        raise ValueError(
            f"{where}: expected a setting of train, such as train.learning_rate; others make other shards, or no "
            "other model; remove it"
        )
    section: type[Section] | None = train
    types: set[Any] = set()
    for part in parts:
        field = section.model_fields.get(part) if section is not None else None
        if field is None:
            close = difflib.get_close_matches(part, section.model_fields if section is not None else (), n=1)
            raise ValueError(f"{where}: unknown setting; " + (f"did you mean {close[0]}?" if close else "remove it"))
        extra = field.json_schema_extra
        if not isinstance(extra, dict) or extra["affects"] != "output" or name in _SAME_MODEL:
            raise ValueError(f"{where}: this setting does not change the model; remove it")
        types = set(get_args(field.annotation) or (field.annotation,)) - {type(None)}
        section = next((kind for kind in types if isinstance(kind, type) and issubclass(kind, Section)), None)
    if section is not None:
        raise ValueError(f"{where}: found a section; name one of its settings: {', '.join(section.model_fields)}")
    return types
