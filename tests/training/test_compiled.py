"""Compiled trainings: the numbers of plain ones, resumed to the bit, and refused where nothing would be compiled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mapring.errors import SettingsError
from tests.training.conftest import PlanMaker
from tests.training.running import NoStop, fit, weights
from training import compiled
from training.loop import StoppedError
from training.ring.interface import AgreedError
from training.ring.single import SingleRing


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
def test_compiled_is_plain_within_rounding_and_resumes_bit_for_bit(
    make_tiny_plan: PlanMaker, tmp_path: Path, base_model_without_dropout: Path
) -> None:
    still = (f"train.model={base_model_without_dropout}", "train.learning_rate=1e-3")
    plain, _ = fit(make_tiny_plan(*still, f"run_dir={tmp_path}/plain"))
    straight, _ = fit(make_tiny_plan(*still, "train.compile=true", f"run_dir={tmp_path}/straight"))
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(straight)[name], tensor, rtol=1e-3, atol=1e-4)
    assert any(not torch.equal(tensor, weights(straight)[name]) for name, tensor in weights(plain).items())
    plan = make_tiny_plan(*still, "train.compile=true", f"run_dir={tmp_path}/stopped")
    with pytest.raises(StoppedError):
        fit(plan, stop=NoStop(after_step=5))
    torch.compiler.reset()  # what a new process has: nothing compiled
    resumed, _ = fit(plan)
    for name, tensor in weights(straight).items():
        assert torch.equal(weights(resumed)[name], tensor), name


def test_a_missing_compiler_is_told_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(AgreedError, match=r"train\.compile: found no C\+\+ compiler /no/such/compiler"):
        compiled.check_compiler(SingleRing())


@pytest.mark.parametrize(
    "words",
    [("train.task=clm",), ("train.method=lora",), ("train.objective.fgm=0.5",), ("train.gradient_checkpointing=true",)],
)
def test_what_would_not_be_compiled_is_refused(words: tuple[str, ...], make_tiny_plan: PlanMaker) -> None:
    with pytest.raises(SettingsError, match="compile: found true with"):
        make_tiny_plan("train.compile=true", *words, shards=False)
