"""Writes the page of the Python API from the docstring and signature of every public name of `uncrowd`."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

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
