"""`python -m tests.soak --minutes 30`: tries, at random but repeatably, to make uncrowd fail.

Each kind of try gets a share of the time. A try is a function of a seed: `--only KIND --first N --tries 1` repeats one.
What failed is printed as it happens and the counts at the end; the exit status is 1 if anything failed.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tests.soak import annotations, folders, images, kills, models, together
from tests.soak.ground import Ground

Try = Callable[[Ground, np.random.Generator], None]


class Kind(NamedTuple):
    """A kind of try. share: its part of the time. few: how many of it the test suite makes."""

    what: str
    run: Try
    share: float
    few: int


KINDS = {
    "kills": Kind("runs killed up to three times", kills.killed, 30, 2),
    "two-ranks": Kind("runs of two ranks killed once", kills.two_ranks, 8, 0),
    "full-disk": Kind("runs on a full disk", kills.full_disk, 7, 1),
    "read-only": Kind("runs whose folder becomes read-only", kills.read_only_disk, 7, 1),
    "one-folder": Kind("two processes in one run's folder", together.one_folder, 6, 1),
    "numbered-folders": Kind("two processes that each make a folder", together.numbered_folders, 3, 0),
    "annotations": Kind("damaged COCO annotations", annotations.coco_annotations, 10, 16),
    "odgt": Kind("damaged odgt annotations", annotations.odgt_annotations, 4, 8),
    "detections": Kind("damaged detections", annotations.detections, 5, 16),
    "images": Kind("damaged images", images.image_files, 4, 80),
    "weights": Kind("damaged weights", models.weights_files, 5, 8),
    "checkpoints": Kind("runs with damaged files", models.checkpoints, 5, 2),
    "onnx": Kind("damaged ONNX files", models.onnx_files, 3, 0),
    "pickles": Kind("files that hold code", models.pickled_files, 1, 1),
    "threads": Kind("eight threads with one predictor", together.threads, 1, 1),
    "memory": Kind("2,000 predictions in one process", together.many_predictions, 1, 0),
    "yolo": Kind("damaged YOLO folders", folders.yolo_folders, 4, 5),
    "voc": Kind("damaged Pascal VOC folders", folders.voc_folders, 4, 5),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long, over all kinds (default 30)")
    parser.add_argument("--tries", type=int, help="at most this many tries of each kind")
    parser.add_argument("--few", action="store_true", help="as few of each kind as the test suite makes")
    parser.add_argument("--first", type=int, default=0, help="number of the first try of each kind (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other tries (default 0)")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # for the tries that run as another user
        ground = Ground.prepare(Path(folder))
        return 1 if soak(ground, arguments) else 0


def soak(ground: Ground, arguments: argparse.Namespace) -> int:
    """Makes tries until the time is over, each of the kind furthest behind its share. Returns how many failed."""
    spent = dict.fromkeys(arguments.only, 0.0)
    tried, failed = dict.fromkeys(arguments.only, 0), dict.fromkeys(arguments.only, 0)
    most = {kind: KINDS[kind].few if arguments.few else arguments.tries for kind in arguments.only}
    end = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < end:
        waiting = [kind for kind in spent if most[kind] is None or tried[kind] < most[kind]]
        if not waiting:
            break
        kind = min(waiting, key=lambda kind: spent[kind] / KINDS[kind].share)
        number, start = arguments.first + tried[kind], time.monotonic()
        try:
            KINDS[kind].run(ground, np.random.default_rng([arguments.seed, list(KINDS).index(kind), number]))
        except Exception:
            failed[kind] += 1
            print(f"FAILED: --seed {arguments.seed} --only {kind} --first {number} --tries 1", flush=True)
            traceback.print_exc(file=sys.stdout)
        tried[kind] += 1
        spent[kind] += time.monotonic() - start
    print(f"{'tried':>6} {'survived':>9} {'failed':>7} {'seconds':>8}")
    for kind in spent:
        _print_row(tried[kind], failed[kind], spent[kind], KINDS[kind].what)
    _print_row(sum(tried.values()), sum(failed.values()), sum(spent.values()), f"in all, seed {arguments.seed}")
    return sum(failed.values())


def _print_row(tried: int, failed: int, seconds: float, what: str) -> None:
    print(f"{tried:>6} {tried - failed:>9} {failed:>7} {seconds:>8.0f}  {what}")


if __name__ == "__main__":
    sys.exit(main())
