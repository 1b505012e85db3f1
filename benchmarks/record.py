"""What was timed where: the machine in words, the commit, and a line of JSON for each run."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def machine() -> str:
    """The processor and what there is of it, in words."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def append(file: Path, benchmark: str, results: dict[str, Any]) -> None:
    """Adds a line to a file of JSON lines."""
    record = {"benchmark": benchmark, "commit": _commit(), "machine": machine()} | results
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")


def _commit() -> str | None:
    """The commit that is timed, with a + where files differ from it; None outside a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode == 1
    return commit.stdout.strip() + "+" * changed if commit.returncode == 0 else None
