"""Settings of `mapring vacuum`: how much of what is no longer in use is kept, and how old the rest must be to go."""

from __future__ import annotations

from mapring.settings.base import Section, execution


class Retention(Section):
    """What `mapring vacuum` keeps of what is not in use; what is, and what that was made from, always stays."""

    shards: int = execution(3, description="Newest published shards that are kept.", ge=0)
    models: int = execution(3, description="Newest published models that are kept.", ge=0)
    trainings: int = execution(
        3, description="Newest training directories (checkpoints, curves) that are kept; models do not need them.", ge=0
    )
    backends: int = execution(3, description="Newest published backends that are kept.", ge=0)
    banks: int = execution(3, description="Newest published banks of templates that are kept.", ge=0)
    rankers: int = execution(3, description="Newest published rankers that are kept.", ge=0)
    ranked: int = execution(3, description="Newest published rankings of the scores table that are kept.", ge=0)
    recommendations: int = execution(3, description="Newest published lists of recommendations that are kept.", ge=0)
    pairs: int = execution(3, description="Newest published pairs of texts that are kept.", ge=0)
    table_versions: int = execution(
        10,
        description="Newest scorings of the scores table, and returns to older ones, to which `mapring scores "
        "rollback` can go back.",
        ge=1,
    )
    min_age_hours: int = execution(
        168,
        description="Age in hours below which nothing goes, counted from a directory's newest file; longer than any "
        "stage takes between two files, for a run under way is known by its age alone.",
        ge=1,
    )
