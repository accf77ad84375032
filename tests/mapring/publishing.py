"""Published directories that hold next to nothing, to look at what their manifests say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mapring import contract
from mapring.contract.manifest import Kind


def publish(directory: Path, kind: Kind = "model", **details: Any) -> str:
    """Publish a manifest with these details and no file; the directory."""
    manifest = contract.Manifest(
        kind=kind,
        fingerprint="0" * 16,
        created=contract.utc_now(),
        code_version="test",
        settings={},
        inputs=(),
        files=(),
        details=details,
    )
    assert contract.publish(str(directory), manifest)
    return str(directory)
