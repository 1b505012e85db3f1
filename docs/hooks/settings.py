"""Writes the page of settings: each field of `Experiment` with its flag, its defaults and the comment above it."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from uncrowd.recipes.experiment import Experiment
from uncrowd.recipes.small_data import small_data

INTRODUCTION = """\
# Settings

Every setting of a run is a field of a frozen dataclass and a flag of `uncrowd train`. This page is generated from these
dataclasses. *Default* is the default of the dataclass, which is the paper's COCO model and schedule. *small-data* is
the value in the recipe that `uncrowd train --data FOLDER` uses, where it differs. `uncrowd train NAME --help` shows the
values of any other recipe, and `uncrowd info` lists the recipes.

Some parts, such as the model, the class loss or crops, have settings of their own. Their flags exist only in recipes
that use the part. A switch that a recipe has on has a `no-` flag, which turns it off; the page shows the flag of
small-data, or of the default where small-data has no such part.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page."""
    files.append(File.generated(config, "settings.md", content=settings_page()))
    return files


def settings_page() -> str:
    """Returns the page as Markdown, with one table for each dataclass, outer before inner."""
    sections: dict[str, str] = {}
    for title, section in _sections(Experiment, "", small_data()):
        sections.setdefault(title, section)  # a part that two detectors share is shown once
    return "\n".join([INTRODUCTION, *sections.values()])


def _sections(cls: type, prefix: str, recipe: object | None) -> Iterator[tuple[str, str]]:
    """Yields the table of `cls`, whose flags begin with `prefix`, and then those of the dataclasses inside it."""
    rows = [
        f"## {cls.__name__}\n\n{inspect.getdoc(cls)}\n",
        "| flag | default | small-data | what it does |\n|---|---|---|---|",
    ]
    comments, types = _comments(cls), get_type_hints(cls)
    inner = []
    for field in fields(cls):
        value = getattr(recipe, field.name, None)
        members = [member for member in _members(types[field.name]) if is_dataclass(member)]
        for member in members:
            assert isinstance(member, type)
            inner.append((member, f"{prefix}{field.name}.", value if isinstance(value, member) else None))
        parts = [str(member.__name__) for member in members if isinstance(member, type)]
        is_on = (field.default if recipe is None else value) is True
        flag = _flag(f"{prefix}{'no-' if is_on else ''}{field.name}", types[field.name], parts)
        default = _default(field)
        ours = "" if recipe is None or members or _shown(value) == default else _shown(value)
        rows.append(f"| {flag} | {default} | {ours} | {comments.get(field.name, '')} |")
    yield cls.__name__, "\n".join([*rows, ""])
    for member, inner_prefix, value in inner:
        yield from _sections(member, inner_prefix, value)


def _comments(cls: type) -> dict[str, str]:
    """Returns the comment directly above each field of a dataclass, as one line of text."""
    source = textwrap.dedent(inspect.getsource(cls))
    lines, found = source.splitlines(), {}
    for statement in ast.parse(source).body[0].body:  # pyright: ignore[reportAttributeAccessIssue]
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        above: list[str] = []
        for line in reversed(lines[: statement.lineno - 1]):
            if not line.strip().startswith("#"):
                break
            above.insert(0, line.strip().removeprefix("#").strip())
        found[statement.target.id] = " ".join(above).replace("|", "\\|")
    return found


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _flag(name: str, annotation: Any, parts: list[str]) -> str:
    """Returns the flag with the values it takes, or links to the tables of the parts that the field may hold."""
    dashed = name.replace("_", "-")
    if parts:
        return f"`--{dashed}.*`: " + ", ".join(f"[{part}](#{part.lower()})" for part in parts)
    return f"`--{dashed}{_values(annotation)}`"


def _values(annotation: Any) -> str:
    """Returns the values of a flag: nothing for a switch, choices in braces, otherwise the type in capitals."""
    members = [member for member in _members(annotation) if member is not NoneType]
    if members == [bool]:
        return ""
    return " " + "/".join(_value(member) for member in members)


def _value(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "{" + ",".join(map(str, arguments)) + "}"
    if origin is tuple:
        many = len(arguments) == 2 and arguments[1] is Ellipsis
        return f"{_value(arguments[0])} ..." if many else " ".join(map(_value, arguments))
    return getattr(annotation, "__name__", str(annotation)).upper()


def _default(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return _shown(field.default)
    if field.default_factory is MISSING:
        return "required"
    made = field.default_factory()
    return type(made).__name__ if is_dataclass(made) else _shown(made)


def _shown(value: object) -> str:
    """Returns a value as it is typed after its flag."""
    if isinstance(value, tuple):
        return f"`{' '.join(map(str, value))}`" if value else "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
