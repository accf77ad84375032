"""Settings of the Spark session."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from mapring.settings.base import Section, execution


class Spark(Section):
    """The Spark session of preprocessing and scoring."""

    master: str = execution("local[*]", description="Spark master URL; spark-submit's own --master comes first.")
    driver_memory: str | None = execution(
        None,
        description="Memory of the driver's JVM, such as 4g; none fits it to the machine and the inputs.",
        pattern=r"^\d+[kmgt]$",
    )
    partitions: int = execution(
        0, description="Shuffle partitions; 0 chooses them by a sample of the inputs and the cores.", ge=0
    )
    split_bytes: int = execution(
        64 << 20, description="Size in bytes of the pieces in which large text and jsonl files are read.", ge=1024
    )
    conf: dict[str, str] = execution({}, description="Any further Spark settings, by their Spark names.")

    @field_validator("conf", mode="before")
    @classmethod
    def _values_as_spark_writes_them(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: str(item).lower() if isinstance(item, bool) else str(item) if isinstance(item, int | float) else item
            for key, item in value.items()
        }
