"""Smaller models: what of a pretrained one is kept, and what a larger one teaches."""

from training.compression.smaller import compressed

__all__ = ["compressed"]
