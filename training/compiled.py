"""Forward and backward compiled by torch (Ansel et al. 2024), where train.compile asks for it."""

from __future__ import annotations

import os
import shutil
from typing import cast

import torch
from torch import nn

from training.ring import Ring
from training.ring.interface import AgreedError


def check_compiler(ring: Ring) -> None:
    """Look for the C++ compiler that torch.compile calls while the training runs; all ranks call this together.

    Raises:
        AgreedError: a rank has none.
    """
    wanted = os.environ.get("CXX", "g++")
    missing = [
        rank for rank, is_there in enumerate(ring.allgather_object(shutil.which(wanted) is not None)) if not is_there
    ]
    if missing:
        raise AgreedError(
            f"train.compile: found no C++ compiler {wanted} on the host of rank {missing[0]}, expected one; install it "
            "with: apt-get install g++, name another one by CXX, or set train.compile=false"
        )


def compiled(model: nn.Module) -> nn.Module:
    """The model with a compiled forward and backward, for any batch and length; it shares all weights.

    The model itself stays as it is: evaluations, checkpoints and exports see neither other code nor other names.
    """
    return cast(nn.Module, torch.compile(model, dynamic=True))
