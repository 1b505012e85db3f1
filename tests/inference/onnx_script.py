"""Runs the script of docs/deploy.md, which detects without uncrowd and without torch."""

import re
import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"


class Found(NamedTuple):
    """A detection that the script prints: xyxy in pixels of the image."""

    name: str
    score: float
    box: list[float]


def run_script(onnx: Path, image: Path, folder: Path, *, everything: bool = True) -> list[Found]:
    """What the script finds, with a threshold of 0 unless not everything is wanted. It is run in a folder."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (script,) = (block for block in blocks if "import onnxruntime" in block)
    assert "uncrowd" not in re.sub(r'"uncrowd\.detector"', "", script)
    chosen = "score >= least.get(name, 0.3)"
    assert chosen in script
    (folder / "detect.py").write_text(script.replace(chosen, "score >= 0") if everything else script)
    command = [sys.executable, "detect.py", str(onnx), str(image)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [re.fullmatch(r"(\w+(?: \w+)*) ([\d.]+) (\[.*\])", line) for line in done.stdout.splitlines()]
    return [Found(line[1], float(line[2]), literal_eval(line[3])) for line in lines if line is not None]
