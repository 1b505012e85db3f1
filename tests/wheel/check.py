"""Installs the built wheel alone, without extras, and uses it like somebody without a copy of the sources.

    python -m tests.wheel.check dist/uncrowd-VERSION-py3-none-any.whl

The environment of about 6 GB is made in a temporary folder and removed at the end, even after a failure.
"""

import os
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from uncrowd.extras import EXTRA_OF

ROOT = Path(__file__).parents[2]
NEEDED = 12 * 1024**3  # bytes, for the environment and the temporary files of pip
BROUGHT_BY_THE_CORE = ("jinja2", "huggingface_hub")  # by torch, and by timm
DETECTORS = ROOT / "src" / "uncrowd" / "detectors"
USE_CORE = Path(__file__).with_name("use_core.py")


def main(wheel: Path) -> None:
    """Raises AssertionError if the wheel does not work, and SystemExit if it cannot be tried."""
    began = time.monotonic()
    check_contents(wheel)
    with TemporaryDirectory(prefix="uncrowd-wheel-") as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < NEEDED:
            sys.exit(f"{folder} has {free / 1024**3:.0f} GiB free, {NEEDED / 1024**3:.0f} are needed; set TMPDIR.")
        scripts = install(wheel, folder / "environment")
        print(f"installed in {time.monotonic() - began:.0f} s", flush=True)
        check_use(scripts, folder)
    print(f"the wheel works, in {time.monotonic() - began:.0f} s")


def check_contents(wheel: Path) -> None:
    """Checks that the wheel holds the type marker, the report's template, the page and all detectors, and no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "uncrowd/py.typed" in names
    assert any(name.startswith("uncrowd/report/") and name.endswith(".html.j2") for name in names)
    assert {"uncrowd/browser/html/index.html", "uncrowd/browser/html/page.css", "uncrowd/browser/html/page.js"} <= {
        *names
    }
    assert {f"uncrowd/detectors/{file.name}" for file in DETECTORS.glob("*")} <= {*names}
    others = [name for name in names if not name.startswith(("uncrowd/", "uncrowd-"))]
    assert not others, f"{wheel} also holds {others}"


def install(wheel: Path, environment: Path) -> Path:
    """Installs the wheel in a new environment and returns the folder of its commands."""
    venv.create(environment, with_pip=True)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    install = [scripts / "python", "-m", "pip", "install", "--quiet", *constraints, wheel.resolve()]
    subprocess.run(list(map(str, install)), check=True, env=clean_environment())
    return scripts


def clean_environment() -> dict[str, str]:
    """Returns the variables without PYTHONPATH and the like, by which pip and Python would find the sources."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def check_use(scripts: Path, folder: Path) -> None:
    """Uses the package from Python and from the shell, in a folder from which the sources cannot be found."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    environment = clean_environment()

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        print("  ", Path(command[0]).name, *command[1:], flush=True)
        return subprocess.run(
            list(map(str, command)), cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
        )

    def succeed(*command: str | Path) -> str:
        done = run(*command)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    python, uncrowd = scripts / "python", scripts / "uncrowd"
    packages = ", ".join(repr(package) for package in EXTRA_OF if package not in BROUGHT_BY_THE_CORE)
    find = f"import importlib.util as u; print([name for name in ({packages}) if u.find_spec(name)])"
    found = succeed(python, "-c", find)
    assert found == "[]\n", f"the core has brought packages of an extra: {found}"
    assert str(folder) in succeed(python, "-c", "import uncrowd; print(uncrowd.__file__)")

    assert succeed(uncrowd, "--version").startswith("uncrowd ")
    assert "predict" in succeed(uncrowd, "--help")
    succeed(python, USE_CORE)  # leaves data/, tiny.safetensors and found.json
    succeed(uncrowd, "info", "tiny.safetensors")
    succeed(uncrowd, "check", "data")
    succeed(uncrowd, "predict", "tiny.safetensors", "data/val/000001.jpg", "--out", "predictions", "--threshold", "0")
    assert (elsewhere / "predictions" / "detections.json").is_file()
    for file in DETECTORS.glob("*.safetensors"):
        assert file.stem in succeed(uncrowd, "predict", "--help")
        succeed(uncrowd, "predict", file.stem, "data/val/000001.jpg", "--out", file.stem)
    assert "AP50" in succeed(uncrowd, "eval", "tiny.safetensors", "--data", "data", "--workers", "0")
    assert "AP50" in succeed(uncrowd, "eval", "found.json", "--data", "data")

    refused = run(uncrowd, "train", "--data", "data")
    assert refused.returncode == 2, refused
    assert refused.stderr.endswith("which is not installed; pip install 'uncrowd[train]'.\n"), refused.stderr
    assert refused.stderr.count("\n") == 1, refused.stderr


if __name__ == "__main__":
    main(Path(sys.argv[1]))
