"""Fetches a detection dataset of the Hugging Face Hub and writes it as a COCO folder, which is then read like any."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from uncrowd.argument_types import checked_types
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.hub.box_order import BoxOrder
from uncrowd.data.hub.columns import Columns, Row, find_columns
from uncrowd.data.hub.opened import Opened, open_on_hub
from uncrowd.data.hub.written import FetchedClasses, SplitWriter
from uncrowd.data.images.folders import split_of
from uncrowd.data.splits import Splits
from uncrowd.errors import InputError
from uncrowd.whole_file import require_new_folder, whole_folder

SPLITS = ("train", "val", "test")


@checked_types(name="the name of a dataset on the Hub, or a folder", out="the name of a new folder")
def fetch_dataset(
    name: str | Path,
    out: str | Path,
    *,
    split: str | Sequence[str] = (),
    subset: str | None = None,
    revision: str | None = None,
    boxes: BoxOrder | None = None,
    relative: bool = False,
    on_image: Callable[[int], None] = lambda number: None,
) -> Splits:
    """Writes a dataset of the Hub as COCO folder `out`, and opens it. The rows are streamed, so one image is in memory.

    name: on the Hub, or the folder of a dataset: one that `save_to_disk` wrote, Parquet files, or images with
    metadata.jsonl. out: a folder that does not exist or is empty. split: those to fetch, as they are called there, such
    as "train" or ["train", "val=dev"], which renames one; by default all. subset: one of several configurations.
    revision: a branch, tag or commit. boxes: the order of their numbers; by default xywh in pixels as in COCO, which is
    checked. relative: they are shares of the image. on_image: receives the number of images written so far.

    Images keep their bytes and, where they have one, their names. Class numbers and image ids stay those of the
    dataset. Raises InputError when the dataset cannot be fetched or is no detection dataset, when a split is missing or
    its name says neither train, val nor test, when the boxes seem to be in another order, and when `out` cannot be
    written.
    """
    name, folder = str(name), Path(out)
    require_new_folder(folder)
    opened = open_on_hub(name, subset, revision)
    columns = find_columns(opened.features, name)
    wanted = _wanted(opened, [split] if isinstance(split, str) else split)
    with whole_folder(folder) as whole, ExitStack() as stack:
        categories = FetchedClasses(columns.names)
        writers = {own: SplitWriter(whole, own, categories, order=boxes, relative=relative) for own in wanted}
        number = 0
        for own, theirs in wanted.items():
            write = stack.enter_context(writers[own].writing())
            where = f"{name}, split {theirs}"
            for row in _rows(opened, columns, theirs, where):
                write(row, where)
                number += 1
                on_image(number)
            writers[own].judge(where)
    return open_dataset(folder)


def _rows(opened: Opened, columns: Columns, split: str, where: str) -> Iterator[Row]:
    for number, record in enumerate(opened.rows(split, columns.image), start=1):
        yield columns.read(record, f"{where}, row {number}")


def _wanted(opened: Opened, words: Sequence[str]) -> Mapping[str, str]:
    """Returns our name -> the dataset's name of each split to fetch."""
    has = f"it has {', '.join(opened.splits)}"
    pairs = [tuple(word.split("=", 1)) if "=" in word else (split_of(word), word) for word in words or opened.splits]
    for own, theirs in pairs:
        if theirs not in opened.splits:
            raise InputError(f"{opened.name} has no split {theirs}; {has}.")
        if own is not None and own not in SPLITS:
            raise InputError(f"{own}={theirs} names no split; write train, val or test before the =.")
    if len(pairs) == 1:
        return {pairs[0][0] or "train": pairs[0][1]}
    ours = [own for own, _ in pairs]
    if None in ours or len(set(ours)) < len(ours):
        raise InputError(
            f"{opened.name} has splits whose names do not say which is train, val or test; {has}; name those to "
            f"fetch, such as --split train={opened.splits[0]}."
        )
    return {own: theirs for own, theirs in pairs if own is not None}
