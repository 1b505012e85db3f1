"""Records a run of a benchmark as a line of JSON: the machine, the commit, the settings and the results."""

import json
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from uncrowd.errors import InputError


def machine() -> str:
    """Returns the processor, its number of cores, the GPU and the version of Python, in words."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"
    return f"{processor}, {_gpu()}, Python {platform.python_version()}"


def conditions(*, kept: bool = False) -> str:
    """Returns the conditions of a measurement in words. kept: whether the process keeps freed memory."""
    threads = f"torch {torch.__version__} with {torch.get_num_threads()} threads"
    return f"{machine()}, {threads}{', freed memory kept' * kept}"


def require_appendable(file: Path | None) -> None:
    """Raises InputError, before anything is timed, when no line can be added to the file."""
    try:
        if file is not None:
            file.open("a").close()
    except OSError as error:
        raise InputError(f"--append {file} cannot be written: {error.strerror or error}.") from error


def append(file: Path, benchmark: str, arguments: Any, results: dict[str, Any]) -> None:
    """Adds a line of JSON to the file: benchmark, commit, machine, arguments (a dataclass) and results.

    A result replaces an argument of the same name.
    """
    where = {"machine": machine(), "device": _gpu(), "threads": torch.get_num_threads()}
    settings = {name: value for name, value in asdict(arguments).items() if name != "append"}
    record = {"benchmark": benchmark, "commit": commit()} | where | settings | results
    with file.open("ab", buffering=0) as stream:  # in one write, so that processes can append to one file
        stream.write((json.dumps(record) + "\n").encode())


def _gpu() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def commit() -> str | None:
    """Returns the commit of the code, with a + if files differ from it, or None outside a repository.

    Files of recorded lines do not count, because each line changes them.
    """
    git = ["git", "-C", str(Path(__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    code = [":/", ":(exclude,top)*.jsonl"]
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *code], check=False).returncode == 1
    return head.stdout.strip() + "+" * changed if head.returncode == 0 else None
