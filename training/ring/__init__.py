"""The ring: what the ranks of one training say to each other."""

from training.ring.interface import Ring, RingError, check_same, first_rank_only, in_step
from training.ring.launch import is_elastic, open_ring

__all__ = ["Ring", "RingError", "check_same", "first_rank_only", "in_step", "is_elastic", "open_ring"]
