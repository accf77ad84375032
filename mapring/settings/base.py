"""How settings are declared: a section's base class, and the two kinds of setting.

A setting is declared with `output` (it enters the fingerprint of the stage it belongs to, so a
change reruns that stage and what depends on it) or `execution` (how fast or where the same
bytes are made).
"""

from __future__ import annotations

from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator


def output(default: Any = ..., *, description: str, is_late: bool = False, **limits: Any) -> Any:
    """Declare a setting that changes what is published.

    One `is_late` came when fingerprints were out already: at its default it is no part of them, so that they stay.
    """
    return Field(
        default, description=description, json_schema_extra={"affects": "output", "is_late": is_late}, **limits
    )


def execution(default: Any = ..., *, description: str, **limits: Any) -> Any:
    """Declare a setting that changes only where or how fast the same output is made."""
    return Field(default, description=description, json_schema_extra={"affects": "execution"}, **limits)


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values cannot be changed."""

    text_key: ClassVar[str | None] = None  # the setting that a plain text in place of the section stands for

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _text_stands_for_its_key(cls, value: Any) -> Any:
        return {cls.text_key: value} if cls.text_key is not None and isinstance(value, str) else value


def output_settings(section: Section) -> dict[str, Any]:
    """The values of a section that enter a fingerprint, nested sections included, as JSON values."""
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        if not isinstance(extra, dict) or extra["affects"] != "output":
            continue
        if extra["is_late"] and getattr(section, name) == field.default:
            continue
        values[name] = _plain(getattr(section, name))
    return values


def changed_settings(section: Section) -> list[str]:
    """Names of the settings of a section that are not at their defaults."""
    return [name for name, field in type(section).model_fields.items() if getattr(section, name) != field.default]


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return output_settings(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def inner_section(section: type[Section], name: str) -> type[Section] | None:
    """The section that a setting of this name holds, or a list of; None for any other setting."""
    field = section.model_fields.get(name)
    for kind in () if field is None else (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None
