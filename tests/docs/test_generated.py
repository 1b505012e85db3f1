"""The pages that are generated from the code are complete."""

import re

import pytest
from docs.hooks.command_line import command_line_page
from docs.hooks.python_api import parameters_on_lines, python_page
from docs.hooks.settings import settings_page

import uncrowd
from uncrowd.cli import VERBS


@pytest.fixture(scope="module")
def helps() -> str:
    """The page of the command line, made once because every verb imports its modules for it."""
    return command_line_page()


def test_the_page_of_settings_has_each_flag_of_the_command_line(helps: str) -> None:
    settings = settings_page()
    on_page = set(re.findall(r"^\| `--([\w.-]+)", settings, re.MULTILINE))
    training = helps.partition("## uncrowd train")[2].partition("## uncrowd eval")[0]
    flags = set(re.findall(r"--((?:augment|resize|model|loss|optim|train)\.[\w.-]+)", training))
    assert len(flags) > 40
    assert flags <= on_page
    assert "Number of passes through the training images." in settings  # a comment above a field
    assert "| `36` | `60` |" in settings  # the default, and the value of the recipe for small data


def test_the_page_of_the_command_line_has_each_verb(helps: str) -> None:
    assert all(f"usage: uncrowd {verb}" in helps for verb in VERBS)


def test_the_page_of_the_python_api_has_each_public_name() -> None:
    page = python_page()
    assert all(f"heading: uncrowd.{name}\n" in page for name in uncrowd.__all__ if not name.startswith("_"))


def test_each_parameter_of_the_python_api_starts_a_line() -> None:
    html = "<p>Images are RGB: or not. threshold:\nthe least score. device, tta: see above. Raises it.</p>"
    lines = parameters_on_lines(html).split("<br>")
    assert lines == [
        "<p>Images are RGB: or not.",
        "<code>threshold</code>: the least score.",
        "<code>device, tta</code>: see above.",
        "Raises it.</p>",
    ]
