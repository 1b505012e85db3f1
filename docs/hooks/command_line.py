"""Writes the page of the command line, which shows `uncrowd VERB --help` for every verb."""

import io
import os
from contextlib import redirect_stdout
from unittest.mock import patch

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from uncrowd.cli import VERBS, main
from uncrowd.cli.figure import KINDS

COLUMNS = 84  # fits a page without scrolling


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page."""
    files.append(File.generated(config, "command_line.md", content=command_line_page()))
    return files


def command_line_page() -> str:
    """Returns the page as Markdown, with one section for each verb."""
    sections = ["# Command line", "This page is generated. It shows what each `--help` prints.", _help()]
    for verb in VERBS:
        sections += [f"## uncrowd {verb}", _help(verb)]
        if verb == "figure":
            for kind in KINDS:
                sections += [f"### uncrowd figure {kind}", _help("figure", kind)]
    return "\n\n".join(sections) + "\n"


def _help(*words: str) -> str:
    printed = io.StringIO()
    with patch.dict(os.environ, {"COLUMNS": str(COLUMNS), "NO_COLOR": "1"}), redirect_stdout(printed):
        status = main([*words, "--help"])
    assert status == 0, words
    return f"```text\n{printed.getvalue().strip()}\n```"
