"""Dropout from the fast generator: the right shares and scale, a function of torch's random state alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tests.training.conftest import PlanMaker
from tests.training.running import fit, weights
from training.device import HOST
from training.dropout_masks import FastDropout, dropout_of, dropout_of_parts, keep_mask


@given(st.floats(0.01, 0.99), st.integers(0, 1000))
def test_masks_hold_the_asked_share_and_keep_the_mean(probability: float, seed: int) -> None:
    torch.manual_seed(seed)
    mask = keep_mask(torch.empty(200, 301), probability)
    dropped, kept = float((mask == 0).float().mean()), mask[mask != 0]
    assert dropped == pytest.approx(probability, abs=5 * (0.25 / mask.numel()) ** 0.5 + 2**-16)
    assert torch.equal(kept, torch.full_like(kept, 1 / (1 - probability)))


def test_elements_are_independent_of_their_neighbours() -> None:
    torch.manual_seed(17)
    dropped = (keep_mask(torch.empty(400_000), 0.5) == 0).double() - 0.5
    for distance in (1, 2, 3, 4, 5, 8, 16, 384):
        assert abs(float((dropped[distance:] * dropped[:-distance]).mean())) * 4 < 5 / 400_000**0.5


def test_equal_states_give_equal_masks_and_each_call_another() -> None:
    torch.manual_seed(5)
    first, second = keep_mask(torch.empty(64), 0.5), keep_mask(torch.empty(64), 0.5)
    torch.manual_seed(5)
    assert torch.equal(keep_mask(torch.empty(64), 0.5), first) and not torch.equal(first, second)


def test_it_is_used_within_only_and_not_in_evaluation() -> None:
    values, module = torch.ones(1000), torch.nn.Dropout(0.25)
    torch.manual_seed(5)
    expected = keep_mask(values, 0.25)
    torch.manual_seed(5)
    with FastDropout():
        assert torch.equal(module(values), expected)
        assert torch.equal(module.eval()(values), values)
        assert torch.equal(functional.dropout(values, 0.0), values)
        assert not functional.dropout(values, 1.0).any()
    torch.manual_seed(5)
    assert not torch.equal(functional.dropout(values, 0.25), expected)


@pytest.mark.parametrize("mask_type", ["none", "bool", "float"])
def test_attention_without_its_dropout_is_torch_s(mask_type: str) -> None:
    torch.manual_seed(5)
    query, key, value = (torch.randn(3, 2, length, 8, requires_grad=True) for length in (4, 6, 6))
    allowed = torch.rand(3, 1, 4, 6) < 0.7
    allowed[..., 0] = True
    mask = {"none": None, "bool": allowed, "float": torch.where(allowed, 0.0, float("-inf"))}[mask_type]
    tiny = 1e-9  # below 2**-16: nothing is dropped, yet the path is that of dropout
    with FastDropout():
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=tiny, scale=0.3)
    expected = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(found, expected)
    for own, other in zip(
        torch.autograd.grad(found.square().sum(), (query, key, value)),
        torch.autograd.grad(expected.square().sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(own, other)


def test_a_query_that_may_look_at_nothing_gives_nothing() -> None:
    torch.manual_seed(5)
    query, key, value = (torch.randn(2, 2, length, 8, requires_grad=True) for length in (4, 6, 6))
    allowed = torch.rand(2, 1, 4, 6) < 0.7
    allowed[..., 0], allowed[0, 0, 1] = True, False  # as of padding, where a window of attention holds padding alone
    with FastDropout():
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=0.5)
        exact = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=1e-9)
    torch.testing.assert_close(exact, functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed))
    assert not found[0, :, 1].any() and found[0, :, 0].any()
    assert all(torch.isfinite(own).all() for own in torch.autograd.grad(found.sum(), (query, key, value)))


def test_attention_drops_shares_of_the_values() -> None:
    torch.manual_seed(5)
    query = torch.zeros(1, 1, 200, 4)  # all keys count alike
    value = torch.ones(1, 1, 300, 4)
    with FastDropout():
        found = functional.scaled_dot_product_attention(query, value, value, dropout_p=0.5)
    assert float(found.mean()) == pytest.approx(1, abs=0.02) and float(found.std()) > 0.01


def test_what_is_computed_again_for_the_gradient_has_the_same_mask(make_tiny_plan: PlanMaker) -> None:
    settings = make_tiny_plan("train.gradient_checkpointing=true", shards=False).settings.train
    values = torch.ones(1000, requires_grad=True)
    with dropout_of(settings, HOST)():
        found = checkpoint(
            lambda item: functional.dropout(item.exp(), 0.5),
            values,
            use_reentrant=False,
            context_fn=dropout_of_parts(settings, HOST),
        )
    found.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, found.detach())  # exp is its own derivative


def test_a_training_with_gradient_checkpointing_takes_the_steps_of_one_without(
    make_tiny_plan: PlanMaker, tmp_path: Path
) -> None:
    plain, _ = fit(make_tiny_plan("train.epochs=1"))
    again, _ = fit(make_tiny_plan("train.epochs=1", "train.gradient_checkpointing=true", f"run_dir={tmp_path}/again"))
    for name, tensor in weights(plain).items():
        assert torch.equal(weights(again)[name], tensor), name


@pytest.mark.parametrize(("device", "words"), [(torch.device("cuda"), ()), (HOST, ("train.compile=true",))])
def test_where_it_cannot_work_dropout_is_torch_s_own(
    device: torch.device, words: tuple[str, ...], make_tiny_plan: PlanMaker
) -> None:
    settings = make_tiny_plan(*words, shards=False).settings.train
    with dropout_of(settings, device)():
        assert not torch.overrides._get_current_function_mode_stack()
    with dropout_of(make_tiny_plan(shards=False).settings.train, HOST)():
        assert torch.overrides._get_current_function_mode_stack()
