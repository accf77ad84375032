"""Write docs/settings.md from the settings' own declarations; `--check` fails when it is out of date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mapring.settings import Section, Settings
from mapring.settings.base import inner_section
from mapring.settings.combinations import METHODS, MODELS, TASKS, refusal

TARGET = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

HEADER = """# Settings

One YAML file describes one pipeline. Any value can be replaced on the command line as `KEY=VALUE`, with
dots between the parts of a key and positions for list entries: `train.epochs=2`,
`score.inputs.0.path=new.csv`.

**Affects** says what a change costs. An *output* setting enters the fingerprint of its stage: a change
reruns that stage and those that depend on it. An *execution* setting changes where or how fast the
same output is made, and reruns nothing.

This page is written from `mapring/settings/` by `make docs`.
"""


def main() -> int:
    """Write the page, or compare it with `--check`; returns the exit code."""
    page = render()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page)
        return 0
    if TARGET.read_text() == page:
        return 0
    sys.stderr.write(f"{TARGET.name} is out of date: run `make docs`\n")
    return 1


def render() -> str:
    """The whole page as Markdown."""
    parts = [HEADER]
    pending: list[tuple[str, type[Section]]] = [("", Settings)]
    while pending:
        prefix, section = pending.pop(0)
        title = f"`{prefix}`" if prefix else "Top level"
        parts.append(f"## {title}\n\n{(section.__doc__ or '').strip()}\n")
        parts.append("| Key | Type | Default | Affects | Meaning |\n|---|---|---|---|---|")
        for name, field in section.model_fields.items():
            inner = inner_section(section, name)
            if inner is not None:
                annotation = str(field.annotation)
                many = "[]" if "tuple" in annotation else ".NAME" if "dict" in annotation else ""
                pending.append((f"{prefix}{'.' if prefix else ''}{name}{many}", inner))
            parts.append(_row(name, field, inner))
        parts.append("")
    return "\n".join([*parts, *_combinations()]).rstrip() + "\n"


def _combinations() -> list[str]:
    """Which tasks, models and methods go together, as a table."""
    lines = [
        "## Tasks, models and methods",
        "",
        "What `train.task`, `train.model` and `train.method` can be together; anything else is refused before a start.",
        "",
        f"| Task | Model | {' | '.join(f'`{method}`' for method in METHODS)} |",
        "|---" * (2 + len(METHODS)) + "|",
    ]
    for task in TASKS:
        for kind, model in MODELS.items():
            cells = ["no" if refusal(task, kind, method) else "yes" for method in METHODS]
            lines.append(f"| `{task}` | {model} | {' | '.join(cells)} |")
    return lines


def _row(name: str, field: FieldInfo, inner: type[Section] | None) -> str:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    default: Any = field.default
    if default is PydanticUndefined:
        shown = "*required*"
    elif inner is not None:
        shown = "see below"
    else:
        shown = "none" if default is None else f"`{default}`"
    kind = _section_type(field) if inner else _type(field)
    shown = shown.replace("|", "\\|")  # else it would end the cell
    return f"| `{name}` | {kind} | {shown} | {extra['affects']} | {field.description} |"


def _section_type(field: FieldInfo) -> str:
    annotation = str(field.annotation)
    return "list of sections" if "tuple" in annotation else "names and sections" if "dict" in annotation else "section"


def _type(field: FieldInfo) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true / false"}
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if len(kinds) == 1 and get_args(kinds[0]) and "Literal" in str(kinds[0]):  # Literal[...] | None
        kinds = list(get_args(kinds[0]))
    if all(isinstance(kind, str) for kind in kinds):
        return " / ".join(f"`{kind}`" for kind in kinds).replace("|", "\\|").replace("\t", "\\t")
    if ... in kinds:  # tuple[X, ...]
        inner = kinds[0]
        if type(None) in get_args(inner):  # values of any kind
            return "list of values"
        choices = " / ".join(f"`{choice}`" for choice in get_args(inner)) or names[inner]
        return f"list of {choices}"
    text = "keys and values" if "dict" in str(field.annotation) else " or ".join(names[kind] for kind in kinds)
    limits = [_limit(item) for item in field.metadata]
    return ", ".join([text, *(limit for limit in limits if limit)])


def _limit(item: Any) -> str:
    match item:
        case Ge(ge=bound):
            return f"at least {bound}"
        case Gt(gt=bound):
            return f"above {bound}"
        case Le(le=bound):
            return f"at most {bound}"
        case Lt(lt=bound):
            return f"below {bound}"
        case MinLen():
            return "at least one"
        case _:
            return ""


if __name__ == "__main__":
    sys.exit(main())
