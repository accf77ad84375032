"""Models with fewer layers and units: what is kept, what stock transformers makes of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from torch import nn

from mapring.errors import SettingsError
from mapring.settings.compression import Compression
from tests.training.conftest import PlanMaker
from tests.training.running import prepare
from training.compression import compressed
from training.compression.smaller import evenly_spaced

SIZES: dict[str, Any] = {"vocab_size": 40, "num_labels": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
IDS = torch.arange(3, 24).reshape(3, 7)


class Family(NamedTuple):
    """An architecture of four narrow layers, and where its feed-forward matrices are, as (units, rest)."""

    make: Callable[[], nn.Module]
    stack: str
    incoming: tuple[str, ...]
    outgoing: str


def _bert_like(name: str) -> Callable[[], nn.Module]:
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 48}
    return lambda: getattr(transformers, f"{name}ForSequenceClassification")(
        getattr(transformers, f"{name}Config")(**SIZES, **sizes)
    )


def _gpt2() -> nn.Module:
    return transformers.GPT2ForSequenceClassification(transformers.GPT2Config(**SIZES, n_embd=32, n_layer=4, n_head=2))


def _distilbert() -> nn.Module:
    return transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(**SIZES, dim=32, n_layers=4, n_heads=2, hidden_dim=48)
    )


_INNER = (("intermediate.dense",), "output.dense")
FAMILIES = {
    "bert": Family(_bert_like("Bert"), "bert.encoder.layer", *_INNER),
    "roberta": Family(_bert_like("Roberta"), "roberta.encoder.layer", *_INNER),
    "distilbert": Family(_distilbert, "distilbert.transformer.layer", ("ffn.lin1",), "ffn.lin2"),
    "gpt2": Family(_gpt2, "transformer.h", ("mlp.c_fc",), "mlp.c_proj"),
    "llama": Family(_bert_like("Llama"), "model.layers", ("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj"),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    torch.manual_seed(4)
    return FAMILIES[request.param]


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    return found


def assert_stock_loads_it(model: nn.Module, folder: Path) -> None:
    model.save_pretrained(folder)  # type: ignore[operator]
    stock = transformers.AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
    assert torch.equal(logits(stock), logits(model))


@pytest.mark.parametrize(
    ("count", "kept", "expected"),
    [
        (12, 6, [0, 2, 4, 7, 9, 11]),
        (12, 4, [0, 4, 7, 11]),
        (4, 2, [0, 3]),
        (3, 3, [0, 1, 2]),
        (5, 3, [0, 2, 4]),
        (5, 1, [0]),
    ],
)
def test_layers_are_kept_evenly_with_the_first_and_the_last(count: int, kept: int, expected: list[int]) -> None:
    assert evenly_spaced(count, kept) == expected


def test_kept_layers_have_their_weights_and_stock_loads_them(family: Family, tmp_path: Path) -> None:
    model = family.make()
    state = torch.get_rng_state()
    small = compressed(model, Compression(keep_layers=3))
    assert torch.equal(torch.get_rng_state(), state)
    blocks, kept = model.get_submodule(family.stack), small.get_submodule(family.stack)
    assert isinstance(blocks, nn.ModuleList) and isinstance(kept, nn.ModuleList)
    assert (len(blocks), len(kept)) == (4, 3)
    for place, layer in enumerate([0, 2, 3]):
        own = kept[place].state_dict()
        for name, tensor in blocks[layer].state_dict().items():
            assert torch.equal(own[name], tensor), name
    outside = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(family.stack)}
    assert all(torch.equal(small.state_dict()[name], tensor) for name, tensor in outside.items())
    del blocks[1]
    for place, block in enumerate(blocks):
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = place
    model.config.num_hidden_layers = 3
    torch.testing.assert_close(logits(small), logits(model))
    assert_stock_loads_it(small, tmp_path / "small")


def _units_first(module: nn.Module, is_incoming: bool) -> torch.Tensor:
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight if is_incoming == isinstance(module, nn.Linear) else weight.T


def test_dropped_units_are_the_lightest_and_count_no_more(family: Family, tmp_path: Path) -> None:
    """The smaller model answers as the whole one whose dropped units lead nowhere."""
    model = family.make()
    small = compressed(model, Compression(keep_units=0.5))
    assert not torch.allclose(logits(model), logits(small), atol=1e-6)
    blocks = model.get_submodule(family.stack)
    assert isinstance(blocks, nn.ModuleList)
    with torch.no_grad():
        for block in blocks:
            importance = torch.ones(())
            for name in family.incoming:
                importance = importance * _units_first(block.get_submodule(name), True).norm(dim=1)
            outgoing = _units_first(block.get_submodule(family.outgoing), False)  # (units, hidden)
            importance = importance * outgoing.norm(dim=1)
            dropped = importance.argsort()[: len(importance) // 2]
            outgoing[dropped] = 0  # a view of the weights
    torch.testing.assert_close(logits(small), logits(model), rtol=1e-5, atol=1e-6)
    assert_stock_loads_it(small, tmp_path / "small")


def test_numbers_of_units_are_multiples_of_eight() -> None:
    for share, expected in ((0.9, 40), (0.45, 24), (0.01, 8), (0.99, 48)):
        assert compressed(FAMILIES["bert"].make(), Compression(keep_units=share)).config.intermediate_size == expected


def test_layers_and_units_at_once_are_one_behind_the_other(family: Family) -> None:
    model = family.make()
    once = compressed(model, Compression(keep_layers=2, keep_units=0.5)).state_dict()
    twice = compressed(compressed(model, Compression(keep_layers=2)), Compression(keep_units=0.5)).state_dict()
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[name], tensor) for name, tensor in twice.items())


def test_kinds_of_layers_stay_with_them(tmp_path: Path) -> None:
    kinds = ["full_attention", "sliding_attention", "full_attention", "full_attention"]
    config = transformers.Qwen3Config(
        **SIZES,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=48,
        use_sliding_window=True,
        sliding_window=4,
        layer_types=kinds,
    )
    small = compressed(transformers.Qwen3ForSequenceClassification(config), Compression(keep_layers=2, keep_units=0.5))
    found: Any = small.config
    assert (found.num_hidden_layers, found.intermediate_size, found.layer_types) == (2, 24, [kinds[0], kinds[3]])
    assert_stock_loads_it(small, tmp_path / "small")


def test_without_settings_a_model_stays_itself() -> None:
    model = FAMILIES["bert"].make()
    assert compressed(model, Compression()) is model


@pytest.mark.parametrize(
    ("name", "sizes", "settings", "told"),
    [
        ("Bert", {}, {"keep_layers": 5}, "keep_layers: found 5, but the model has 4 layers; give at most"),
        ("Albert", {}, {"keep_layers": 2}, "stack of 1 blocks and a configuration that tells of 4 layers"),
        ("Bert", {"intermediate_size": 32}, {"keep_units": 0.5}, "keep_units: in bert found .* set keep_units=1"),
        ("ModernBert", {"cls_token_id": 1, "sep_token_id": 2}, {"keep_units": 0.5}, "found 0 matrices to the 48"),
        ("T5", {"d_model": 32}, {"keep_units": 0.5}, "no number of feed-forward units in the configuration of"),
    ],
)
def test_what_is_not_understood_is_refused(
    name: str, sizes: dict[str, Any], settings: dict[str, Any], told: str
) -> None:
    common = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 48}
    own = {"d_kv": 16, "d_ff": 48, "num_layers": 4} if name == "T5" else common
    config = getattr(transformers, f"{name}Config")(**SIZES, **{**own, **sizes})
    model = getattr(transformers, f"{name}ForSequenceClassification")(config)
    with pytest.raises(SettingsError, match=told):
        compressed(model, Compression(**settings))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["train.model={architecture: bert}", "train.compression={keep_layers: 1}"],
            "keep_layers: found it with random",
        ),
        (["train.method=lora", "train.compression={keep_units: 0.5}"], "keep_units: found it with method=lora"),
        (["train.compression={keep_units: 0}"], "keep_units"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(make_tiny_plan: PlanMaker, words: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make_tiny_plan(*words, shards=False)


def test_a_training_begins_with_the_smaller_model_and_freezes_its_layers(make_tiny_plan: PlanMaker) -> None:
    words = ("train.compression={keep_layers: 1, keep_units: 0.5}", "train.method.frozen_layers=1")
    training, _ = prepare(make_tiny_plan(*words))
    model: Any = training.model
    assert (model.config.num_hidden_layers, model.config.intermediate_size) == (1, 32)
    assert not any(item.requires_grad for item in model.bert.encoder.layer.parameters())
    assert model.classifier.weight.requires_grad
