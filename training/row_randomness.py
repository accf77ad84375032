"""Random bits that belong to a row: a pure function of seed, epoch and the row's id, on whichever rank it is."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def random_bits(count: int, seed: int, epoch: int, row_id: str, *purpose: int) -> npt.NDArray[np.uint64]:
    """`count` whole numbers of 64 bits, others for each `purpose`; NumPy keeps this generator's stream as it is."""
    row = int.from_bytes(hashlib.blake2b(row_id.encode(), digest_size=8).digest(), "little")
    return np.random.Philox(np.random.SeedSequence([seed, epoch, row, *purpose])).random_raw(count)
