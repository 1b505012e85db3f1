"""Two ranks that run a command, as torchrun would start them, but forked, so that nothing has to be imported again."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

from tests.cli.small import Said
from uncrowd.cli import main
from uncrowd.ranks import fails_first

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="forks")


def on_two_ranks(folder: Path, *argv: object) -> list[Said]:
    """Returns what each rank returned and printed. folder: a new one, for what they print."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun holds it
    start = multiprocessing.get_context("fork").Process
    folder.mkdir()
    words = [str(word) for word in argv]
    ranks = [start(target=_run, args=(rank, store.port, words, folder), daemon=True) for rank in (0, 1)]
    for process in ranks:
        process.start()
    statuses = []
    for process in ranks:
        process.join(300)
        assert process.exitcode is not None, "it still runs"
        statuses.append(process.exitcode)
    return [
        Said(status, (folder / f"{rank}.out").read_text(), (folder / f"{rank}.err").read_text())
        for rank, status in enumerate(statuses)
    ]


def _run(rank: int, port: int, argv: Sequence[str], folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    fails_first.cache_clear()
    out, err = folder / f"{rank}.out", folder / f"{rank}.err"
    with out.open("w") as said, err.open("w") as complained, redirect_stdout(said), redirect_stderr(complained):
        status = main(argv)
    os._exit(status)
