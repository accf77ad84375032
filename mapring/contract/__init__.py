"""The public contract of a run directory: schemas, manifest, publish, verify."""

from mapring.contract.manifest import RECORD_NAME, FileEntry, Manifest, canonical_json
from mapring.contract.publish import content_name, is_published, publish, read_manifest, write_file
from mapring.contract.version import code_version, utc_now

__all__ = [
    "RECORD_NAME",
    "FileEntry",
    "Manifest",
    "canonical_json",
    "code_version",
    "content_name",
    "is_published",
    "publish",
    "read_manifest",
    "utc_now",
    "write_file",
]
