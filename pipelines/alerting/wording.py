"""An alert in words: one line for people, one object for programs."""

from __future__ import annotations

from typing import Any

from pipelines.alerting.records import Record


def sentence(record: Record) -> str:
    """What was found, in one line."""
    where = f" of {record.source}" if record.source is not None else ""
    where += f", group {record.group!r}," if record.group is not None else ""
    when = "" if record.window_start is None else f" from {record.window_start:%Y-%m-%d %H:%M}"
    if when and record.window_end is not None:
        when += f" to {record.window_end:%Y-%m-%d %H:%M}"
    when += " UTC" if when else ""
    if record.kind == "surge":
        found = (
            f"surge of {record.quantity!r}{where}{when}: {record.observed:.1%} of {record.rows:,} rows, "
            f"expected {record.expected:.1%}"
        )
    else:
        found = f"drift of {record.quantity}{where}{when}: {record.observed:.4g}, expected {record.expected:.4g}"
    return f"{found} (q {record.q_value:.2g}, model {record.model_fingerprint})"


def payload(record: Record) -> dict[str, Any]:
    """What a webhook gets: the record, and `text`, the line, which chat services show."""
    return {**record.to_json(), "text": sentence(record)}
