"""The processes that torchrun starts for one command: which part of the work each does, and how they become one result.

They exchange Python objects on the host alone, so gloo connects them, wherever the models run.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

from torch import cuda, distributed
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

from uncrowd.devices import choose_device
from uncrowd.errors import PeerLostError

Item = TypeVar("Item")
Result = TypeVar("Result")

# So many items a rank does before the ranks exchange results: often enough for an interruption to lose little, seldom
# enough that none waits long for a slower one.
TOGETHER = 16
# What gloo reports as a plain RuntimeError.
_CONNECTION_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo")
# How long a rank waits for another one. In an evaluation each waits once, at its end, until the slowest has detected in
# its share of the images; on unequal CPUs that may be an hour. The connection to one that has ended is lost at once,
# but not that to a machine that was switched off, and not every launcher ends a rank whose peers have never come.
_PATIENCE = timedelta(hours=2)


class Ranks(NamedTuple):
    """rank: which process this one is. size: how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and speaks for all."""
        return self.rank == 0

    def device(self, name: str | None) -> str | None:
        """Returns the device of this rank, if `name` is given for all: each takes a GPU of its machine in turn."""
        device = choose_device(name)
        if self.size == 1 or device.type != "cuda" or device.index is not None:
            return name
        return f"cuda:{int(os.environ['LOCAL_RANK']) % cuda.device_count()}"

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Returns the items of this rank: one of `size`, in turn."""
        return items[self.rank :: self.size]

    def gather(self, own: Sequence[Item]) -> list[Item]:
        """Returns what all ranks have made of their `share`, in the order of the whole, on each of them."""
        if self.size == 1:
            return list(own)
        of_all: list[Sequence[Item]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(of_all, own)
        return [of_rank[turn] for turn in range(len(of_all[0])) for of_rank in of_all if turn < len(of_rank)]

    def each(self, items: Sequence[Item], work: Callable[[Item], Iterable[Result]]) -> Iterator[Result]:
        """Yields all results of all items, in their order, on every rank, while each works on its share alone."""
        if self.size == 1:
            yield from chain.from_iterable(map(work, items))
            return
        step = TOGETHER * self.size
        for start in range(0, len(items), step):
            own = [list(work(item)) for item in self.share(items[start : start + step])]
            yield from chain.from_iterable(self.gather(own))

    def once(self, make: Callable[[], Item]) -> Item:
        """Returns what the first rank makes, on every rank, and lets it begin only when all have come so far."""
        self.gather([None])
        (made,) = self.gather([make()] if self.is_main else [])
        return made


ALONE = Ranks()


def launched() -> Ranks:
    """Returns the place of this process among those that torchrun started; alone, it is the first of one."""
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def joined() -> Iterator[Ranks]:
    """Connects the ranks. All but the first are silent, so what all have to say goes through `gather`.

    Raises PeerLostError when another rank ends before this one, or never comes.
    """
    ranks = launched()
    if ranks.size == 1:
        yield ranks
        return
    with ExitStack() as stack:
        if not ranks.is_main:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        try:
            with peers(ranks, "the command can be started again"):
                distributed.init_process_group("gloo", timeout=_PATIENCE)
                stack.callback(distributed.destroy_process_group)
                yield ranks
        except BaseException:
            fails_first()  # before the others notice that this one is gone
            raise


@cache
def fails_first() -> bool:
    """Returns whether no other rank has failed before this one, which then says why; the others only follow.

    The ranks agree in the store of torchrun. Under another launcher each says why.
    """
    if launched().size == 1 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=10))
        return store.add(f"uncrowd failed {os.environ.get('TORCHELASTIC_RESTART_COUNT')}", 1) == 1
    except RuntimeError:  # torchrun has ended
        return True


@contextmanager
def peers(ranks: Ranks, mend: str) -> Iterator[None]:
    """Raises PeerLostError, which ends in `mend`, when another rank is not there while this one needs it."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, distributed.DistError) or any(sign in str(error) for sign in _CONNECTION_LOST)
        if ranks.size == 1 or not lost:
            raise
        raise PeerLostError(
            f"rank {ranks.rank} of {ranks.size} has no connection to another rank, which ended before it or never "
            f"came; that rank may have said why, and {mend}."
        ) from error
