"""Makes the environment in which YOLO26 is trained: `python -m benchmarks.claims.yolo_env`, from the project's root.

Ultralytics' library is AGPL, so it is installed beside the project and not with it. It takes some 2 GB, or 6 where pip
chooses torch with CUDA; the versions of all that both use are the project's.
"""

import subprocess
import venv
from collections.abc import Sequence

from benchmarks.claims.yolo import PLACE, environment
from benchmarks.command import run

VERSION = "8.4.190"


def main(argv: Sequence[str]) -> int:
    """Makes the environment, or completes it."""
    folder = environment()
    print(f"installing ultralytics {VERSION} into {folder}; {PLACE} names another folder", flush=True)
    venv.create(folder, with_pip=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--constraint", "constraints.txt"]
    return subprocess.run([*install, f"ultralytics=={VERSION}"], check=False).returncode


if __name__ == "__main__":
    run(main)
