"""Settings of near-duplicate removal."""

from __future__ import annotations

from typing import Literal

from mapring.settings.base import Section, execution, output


class NearDuplicates(Section):
    """Documents that are almost equal: MinHash bands propose pairs, the true similarity decides."""

    enabled: bool = output(False, description="Drop near-duplicates; exact ones are always dropped.")
    unit: Literal["word", "character"] = output(
        "word", description="What a shingle is made of; character for scripts without spaces."
    )
    shingle_length: int = output(5, description="Words or characters of one shingle.", ge=1, le=64)
    bands: int = output(14, description="Bands of the MinHash signature.", ge=1, le=256)
    rows: int = output(8, description="Rows of one band.", ge=1, le=64)
    measure: Literal["jaccard", "containment"] = output(
        "jaccard", description="Common shingles by all of both documents, or by those of the smaller one."
    )
    threshold: float = output(0.8, description="Least similarity of a duplicate.", gt=0, le=1)
    local_pairs: int = execution(
        4_000_000, description="Duplicate pairs up to which the driver decides alone; more are decided by Spark.", ge=0
    )
