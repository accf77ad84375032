"""Settings of how training rows are changed, another way in each epoch."""

from __future__ import annotations

from mapring.settings.base import Section, output


class Augmentation(Section):
    """Changes of training rows by whole words, others in each epoch; not with mlm and clm. Evaluations never change."""

    drop_words: float = output(0.0, description="Share of a row's words that are left out; one stays.", ge=0, lt=1)
    swap_words: float = output(0.0, description="Share of a row's words that change places in pairs.", ge=0, le=1)
    crop: float = output(
        0.0, description="Share of a row's words that are cut off at its two ends; one stays.", ge=0, lt=1
    )
