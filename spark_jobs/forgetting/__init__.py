"""Where a document stands in all that a run directory holds, and how it gets out of there."""
