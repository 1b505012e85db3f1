"""The Dockerfile copies what exists and what .dockerignore lets through, and runs the command as a plain user."""

import json
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEPS = [
    tuple(line.split(maxsplit=1))
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


def last(instruction: str) -> str:
    """The argument of an instruction that counts, which is the last one."""
    return [argument for name, argument in STEPS if name == instruction][-1]


def test_what_is_copied_is_in_the_context() -> None:
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    sources = [
        source
        for name, argument in STEPS
        if name == "COPY" and not argument.startswith("--from")
        for source in argument.split()[:-1]
    ]
    assert {Path(source).name for source in sources} == let_through
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_command_runs_as_a_plain_user() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (command,) = json.loads(last("ENTRYPOINT"))
    assert command in project["scripts"]
    assert last("USER") not in ("root", "0")


def test_each_install_is_pinned() -> None:
    installs = [argument for name, argument in STEPS if name == "RUN" and "pip install" in argument]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in install for install in installs)
