"""Settings: the typed schema, reading it from YAML with overrides, and the checks before a start."""

from mapring.settings.base import Section, output_settings
from mapring.settings.inputs import Input
from mapring.settings.load import load_settings
from mapring.settings.schema import Settings

__all__ = ["Input", "Section", "Settings", "load_settings", "output_settings"]
