"""A block of attention behind a pretrained encoder, that reads all of a text for the classifier.

A BERT-like classifier reads the first token of its last block. An encoder that was pretrained to tell a text by the
mean of its tokens, as sentence encoders are (Reimers and Gurevych 2019), has put nothing into that token. The block's
attention starts as that mean, and learns from there which tokens to look at. It is one more block of the
architecture's own, so stock transformers loads the model as any other; the last block is computed for the first token
only, in training and in graphs, so a model of six blocks costs a sixth more.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from mapring.errors import SettingsError
from training.bert_like import encoder_of
from training.model import config_of

# The mean over the first token's own state, which the block's residual connection adds: it is a fifth of the sum. At 1
# the token outweighs a mean, which is shorter than what it is the mean of.
MEAN_WEIGHT = 4.0
_MARK = "pooling_block"  # in config.json: a training that starts from such a model adds no second block


def add_pooling_block(model: nn.Module) -> None:
    """Put one more block into a model, whose first token is the normalized mean of all, unless it has one already.

    Queries and feed-forward units start as those of the last block, keys and what the units give at zero: attention is
    uniform over the tokens of a text, and nothing is added behind it.

    Args:
        model: a classifier of transformers, changed in place.

    Raises:
        SettingsError: the blocks are built otherwise than BERT's.
    """
    config = config_of(model)
    if getattr(config, _MARK, False):
        return
    encoder: Any = encoder_of(model)
    if encoder is None or not all(hasattr(encoder.layer[-1], part) for part in ("intermediate", "output")):
        raise SettingsError(
            f"train.pooling_block: found {config.model_type}, whose blocks are built otherwise than BERT's, expected a "
            "model such as BERT, RoBERTa or ELECTRA; set it to false"
        )
    encoder.layer.append(_block_of_the_mean(encoder.layer[-1], len(encoder.layer)))
    config.num_hidden_layers = len(encoder.layer)
    setattr(config, _MARK, True)


@torch.no_grad()
def _block_of_the_mean(last: Any, place: int) -> Any:
    """A block like `last`, as number `place` of an encoder, that gives MEAN_WEIGHT * mean + token, normalized."""
    block = copy.deepcopy(last)
    own, behind = block.attention.self, block.attention.output
    own.layer_idx = place  # where a cache would keep its keys
    for part in (own.key.weight, own.key.bias, own.value.bias, behind.dense.bias):
        part.zero_()
    own.value.weight.copy_(torch.eye(*own.value.weight.shape))
    behind.dense.weight.copy_(MEAN_WEIGHT * torch.eye(*behind.dense.weight.shape))
    block.output.dense.weight.zero_()
    block.output.dense.bias.zero_()
    for norm in (behind.LayerNorm, block.output.LayerNorm):
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    block.output.LayerNorm.weight.fill_(float(last.output.LayerNorm.weight.mean()))  # as long as states were before
    return block
