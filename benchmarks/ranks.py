"""Measures two ranks of `uncrowd predict` beside one: `python -m benchmarks.ranks` from the project's root.

The ranks are processes of one thread that live through all rounds, so that the time to start Python is left out. What a
call does once is counted: it connects the ranks and loads the weights. One rank and two take turns, and what they wrote
is compared at the end.
"""

import multiprocessing
import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import tyro
from benchmarks.command import run
from benchmarks.made_up_model import build_model
from benchmarks.record import commit, machine
from benchmarks.turns import ratios, table, take_turns, with_spread
from PIL import Image

from uncrowd.cli import main as uncrowd
from uncrowd.errors import require_at_least
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes.demo import demo
from uncrowd.structures import Categories
from uncrowd.weights.file import save_weights

ONE, TWO = "one rank", "two ranks"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Time `uncrowd predict` with one and with two ranks on images of noise, with the model of the demo."""

    # Number of images.
    images: int = 1000
    # Height and width of each.
    size: tuple[int, int] = (240, 320)
    # Rounds that are timed, after a few images that are not.
    rounds: int = 3

    def __post_init__(self) -> None:
        """Raises InputError for no images and for no rounds."""
        require_at_least(1, **{"--images": self.images, "--rounds": self.rounds})


def main(argv: Sequence[str]) -> int:
    """Prints the seconds of both, their ratio, and whether they wrote the same."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.ranks")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_images(folder / "images", arguments)
        write_weights(folder / "weights.safetensors")
        ranks = [_Rank(rank) for rank in (0, 1)]
        _predict(ranks, folder / "warm up", "images/00000*")
        contestants = {ONE: lambda: _predict(ranks[:1], folder / ONE), TWO: lambda: _predict(ranks, folder / TWO)}
        seconds = take_turns(contestants, arguments.rounds, warm_up=0)
        for rank in ranks:
            rank.end()
        same = _contents(folder / ONE) == _contents(folder / TWO)
    shares = [1 / ratio for ratio in ratios(seconds[TWO], seconds[ONE])]
    print(f"{machine()}, torch {torch.__version__}, commit {commit()}")
    print(f"{arguments.images} images of {arguments.size[0]} x {arguments.size[1]}, one thread a rank")
    print(table(seconds, ONE))
    print(
        f"time of two ranks: {with_spread(shares)} that of one; results {'equal' if same else 'DIFFERENT'} to the byte"
    )
    return 0 if same else 1


class _Rank:
    """A process that runs `uncrowd` as one of several ranks whenever it is told."""

    def __init__(self, rank: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._rank = rank
        self._connection, theirs = context.Pipe()
        context.Process(target=_obey, args=(theirs,), daemon=True).start()

    def begin(self, argv: Sequence[str], ranks: int, port: int) -> None:
        place = {"RANK": str(self._rank), "LOCAL_RANK": str(self._rank), "WORLD_SIZE": str(ranks)}
        self._connection.send((argv, place | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}))

    def finish(self) -> None:
        status = self._connection.recv()
        assert status == 0, status

    def end(self) -> None:
        self._connection.send(None)


def _obey(connection: Connection) -> None:
    torch.set_num_threads(1)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        while (order := connection.recv()) is not None:
            argv, place = order
            os.environ |= place
            connection.send(uncrowd(argv))


def _predict(ranks: Sequence[_Rank], out: Path, images: str = "images") -> None:
    argv = ["predict", str(out.parent / "weights.safetensors"), *map(str, sorted(out.parent.glob(images)))]
    argv += ["--out", str(out), "--device", "cpu", "--threshold", "0.05", "--overwrite"]
    port = _free_port()
    for rank in ranks:
        rank.begin(argv, len(ranks), port)
    for rank in ranks:
        rank.finish()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _write_images(folder: Path, arguments: Arguments) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    height, width = arguments.size
    for number in range(arguments.images):
        noise = Image.fromarray(rng.integers(256, size=(12, 16, 3), dtype=np.uint8))
        noise.resize((width, height)).save(folder / f"{number:06d}.jpg")


def write_weights(file: Path) -> None:
    """Writes the model of the demo with random weights."""
    experiment = demo()
    assert isinstance(experiment.model, SparseRCNNConfig)
    names = tuple(f"class {number}" for number in range(experiment.model.num_classes))
    categories = Categories(ids=tuple(range(1, len(names) + 1)), names=names)
    save_weights(file, build_model(experiment.model), categories, experiment.resize)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


if __name__ == "__main__":
    run(main)
