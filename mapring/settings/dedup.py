"""Settings of duplicate removal."""

from __future__ import annotations

from typing import Any, Literal

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

    def sketch_settings(self, seed: int) -> dict[str, Any]:
        """What two sketches must have in common to be comparable."""
        return {
            "unit": self.unit,
            "shingle_length": self.shingle_length,
            "bands": self.bands,
            "rows": self.rows,
            "seed": seed,
        }


class DuplicateParts(Section):
    """Lines or paragraphs that stand in several documents; case, punctuation and spaces do not count."""

    unit: Literal["none", "line", "paragraph"] = output(
        "none", description="What is compared; paragraphs are parted by an empty line. Needs normalization.keep_lines."
    )
    minimum_characters: int = output(30, description="Characters below which a part is never removed.", ge=1)
    most_documents: int = output(
        1,
        description="Documents with different texts that a part may stand in; from more it is removed but once.",
        ge=1,
    )
    maximum_share: float = output(
        1.0, description="Share of removed characters from which a whole document is dropped.", gt=0, le=1
    )


class Duplicates(Section):
    """Documents that were there before, in this corpus or in an earlier one."""

    parts: DuplicateParts = output(DuplicateParts(), description="Removal of repeated lines or paragraphs.")
    near: NearDuplicates = output(NearDuplicates(), description="Removal of near-duplicates.")
    keep_sketches: bool = output(
        False, description="Publish the sketches of kept documents, so that later corpora can be compared with them."
    )
    earlier: tuple[str, ...] = output(
        (),
        description="Published shards directories with sketches; duplicates of their documents are dropped.",
    )
