"""Writes the page of the Python API from the docstring and signature of every public name of `uncrowd`."""

import inspect
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import uncrowd

INTRODUCTION = """\
# Python API

These are the public names of `uncrowd`. Everything else may change from one version to the next. Boxes are always
`x1, y1, x2, y2` in pixels.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page; mkdocstrings fills it."""
    files.append(File.generated(config, "python.md", content=python_page()))
    return files


def python_page() -> str:
    """Returns the page as Markdown, in the order of `uncrowd.__all__`."""
    public = {name: getattr(uncrowd, name) for name in uncrowd.__all__ if not name.startswith("_")}
    sections = [
        f"::: {value.__module__}.{name}\n    options:\n      heading: uncrowd.{name}\n      toc_label: {name}\n"
        for name, value in public.items()
    ]
    return "\n".join([INTRODUCTION, *sections])


def on_page_content(html: str, *, page: Page, **_: object) -> str:
    """Returns the page with the description of each parameter on a line of its own."""
    return parameters_on_lines(html) if page.file.src_uri == "python.md" else html


def parameters_on_lines(html: str) -> str:
    """Starts a line at each "name: description" of one or more parameters, and at each "Raises"."""
    name = f"(?:{'|'.join(sorted(_parameters()))})"
    names = rf"{name}(?:,\s{name})*"
    html = re.sub(rf"(?<=\.)\s(?={names}:\s|Raises\s)", "<br>", html)
    return re.sub(rf"(<p>|<br>)({names}):\s", r"\1<code>\2</code>: ", html)


def _parameters() -> set[str]:
    public = [getattr(uncrowd, name) for name in uncrowd.__all__]
    members = [member for cls in public if inspect.isclass(cls) for member in vars(cls).values()]
    functions = filter(inspect.isfunction, (getattr(member, "__func__", member) for member in [*public, *members]))
    return {name for function in functions for name in inspect.signature(function).parameters}
