"""Runs every command of README.md and docs/get_started.md, as a newcomer would, on tiny data.

    python -m tests.docs.run_commands

The fenced `bash` and `python` blocks of each page run in order, in one temporary folder per page. The table `SHORTENED`
replaces long commands, and each block is printed as it ran. A block below a line `<!-- not run: REASON -->` is left out
and counted. The last line says how many blocks passed, failed and were not run.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/get_started.md")

_TINY = (
    "--train.epochs 1 --train.workers 0 --augment.short-sides 64 --augment.max-size 96 --resize.short-side 64 "
    "--resize.max-size 96 --model.backbone.name resnet10t --model.stages 2 --model.proposals 20 --device cpu"
)
# The beginning of a command, and what runs in its place. The first that fits counts.
SHORTENED = {
    "make demo": "uncrowd demo --short --device cpu",
    "uncrowd train --data data/": f"uncrowd train --data data/ {_TINY}",
}


class Block(NamedTuple):
    """A fenced block of a page. `left_out` is the reason why it is not run, or empty."""

    page: str
    line: int
    language: str
    text: str
    left_out: str


def blocks(page: str, text: str) -> list[Block]:
    """Returns the `bash` and `python` blocks of a page, in order."""
    found = re.finditer(r"^(?:<!-- not run: (.+?) -->\n+)?```(bash|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(page, text.count("\n", 0, match.start(2)) + 1, match[2], match[3], match[1] or "") for match in found]


def shortened(script: str) -> str:
    """Returns the script with each command as it runs here."""
    return "\n".join(_shortened(line) for line in script.splitlines())


def _shortened(command: str) -> str:
    for beginning, instead in SHORTENED.items():
        if command.startswith(beginning):
            return instead + command[len(beginning) :]
    return command


def prepare(folder: Path) -> None:
    """Puts what the pages assume into data/ (a small dataset), photos/ (two images) and docs/ (the image of cells)."""
    draw = (
        "from pathlib import Path\n"
        "from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset\n"
        "scenes = SceneConfig(size=(64, 80), objects=(3, 5))\n"
        "for seed, split in enumerate(('train', 'val')): write_dataset(Path('data'), split, scenes, 8, seed=seed)\n"
    )
    subprocess.run([sys.executable, "-c", draw], cwd=folder, env=environment(), check=True)
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "cells.jpg", folder / "docs")
    (folder / "photos").mkdir()
    for image in sorted((folder / "data" / "val").glob("*.jpg"))[:2]:
        shutil.copy(image, folder / "photos")


def environment() -> dict[str, str]:
    """Returns the variables of an activated virtual environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


class Outcome(NamedTuple):
    """How many blocks of a page passed, failed and were left out, and a report on each."""

    passed: int
    failed: int
    left_out: int
    said: str


def run_page(page: str) -> Outcome:
    """Runs the blocks of a page in a folder of its own."""
    said, results = [], []
    with TemporaryDirectory() as name:
        prepare(Path(name))
        found = blocks(page, (ROOT / page).read_text())
        for block in found:
            heading = f"{page}:{block.line} ({block.language})"
            if block.left_out:
                said.append(f"{heading} not run: {block.left_out}\n")
                continue
            works, words = run(block, Path(name))
            results.append(works)
            said.append(f"{heading}\n{words}\n")
    return Outcome(sum(results), results.count(False), len(found) - len(results), "\n".join(said))


def run(block: Block, folder: Path) -> tuple[bool, str]:
    """Runs one block. Returns whether it succeeded, and what ran, with its output if it failed."""
    if block.language == "python":
        script, command = block.text, [sys.executable, "-c", block.text]
    else:
        script = shortened(block.text)
        command = ["bash", "-euo", "pipefail", "-c", script]
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    words = textwrap.indent(script.strip(), "  ")
    ended = f"  {'FAILED' if done.returncode else 'passed'} in {time.monotonic() - begun:.0f} s"
    return not done.returncode, "\n".join([words, *([done.stdout] if done.returncode else []), ended])


def main() -> int:
    """Returns 0 if every block that runs succeeds. The pages run at the same time, one on each of two cores."""
    with ThreadPoolExecutor(len(PAGES)) as pool:
        outcomes = list(pool.map(run_page, PAGES))
    for outcome in outcomes:
        print(outcome.said)
    passed, failed, left_out = (sum(column) for column in list(zip(*outcomes, strict=True))[:3])
    assert passed, "no page has a command"
    print(f"{passed} passed, {failed} failed, {left_out} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
