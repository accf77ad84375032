"""Settings of compression: what is left of a pretrained model before it is trained."""

from __future__ import annotations

from mapring.settings.base import Section, output


class Compression(Section):
    """What of a pretrained model is kept and then trained; only with method full."""

    keep_layers: int | None = output(
        None, description="Transformer layers that are kept, evenly spaced, the first and the last among them.", ge=1
    )
    keep_units: float = output(
        1.0,
        description="Share of each layer's feed-forward units that is kept, those of the largest weights; rounded to a "
        "multiple of 8 units.",
        gt=0,
        le=1,
    )
