"""Where a rank computes: on the host's cores, or on the GPU that its number on the host gives it."""

from __future__ import annotations

import os
from typing import Literal

import torch
from torch import nn

from training.ring import Ring
from training.ring.interface import AgreedError

DeviceName = Literal["auto", "cpu", "cuda"]

HOST = torch.device("cpu")


def open_device(wanted: DeviceName, ring: Ring) -> torch.device:
    """Choose this rank's device, and make it the one that CUDA works on; all ranks call this together.

    Raises:
        AgreedError: on some host there is no GPU, though one is wanted, or fewer than ranks.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = ring.allgather_object([count, ring.local_size])
    if wanted == "cpu" or (wanted == "auto" and not any(gpus for gpus, _ in found)):
        return HOST
    for rank, (gpus, ranks) in enumerate(found):
        if gpus < ranks:
            raise AgreedError(
                f"train.device: found {gpus} CUDA devices for the {ranks} ranks on the host of rank {rank}, expected "
                "one for each; start fewer ranks there, look at CUDA_VISIBLE_DEVICES, or set train.device=cpu"
            )
    device = torch.device("cuda", ring.local_rank)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS adds up in an order of its own
    torch.use_deterministic_algorithms(True, warn_only=True)  # sums by atomics would end bit-for-bit resuming
    torch.cuda.set_device(device)
    return device


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's weights, all of which are on one."""
    return next(model.parameters()).device


def wait_for(device: torch.device) -> None:
    """Wait until a device has done what it was given, so that a clock tells of it; the host's cores always have."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
