"""Opens a dataset with the library `datasets`, whose errors become sentences. Images are not decoded."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from uncrowd.errors import InputError
from uncrowd.extras import extras_of

Result = TypeVar("Result")


class Opened:
    """The splits of a dataset.

    name: what the user gave. features: the types of the columns.
    """

    def __init__(self, name: str, splits: Mapping[str, Any]) -> None:
        self.name = name
        self._splits = splits
        self.features: Mapping[str, Any] = next(iter(splits.values())).features

    @property
    def splits(self) -> list[str]:
        """Their names in the dataset."""
        return list(self._splits)

    def rows(self, split: str, image: str) -> Iterator[Mapping[str, Any]]:
        """Yields the rows of a split one by one, with the bytes or the path of each image in the column `image`.

        Raises InputError where the connection breaks off or a file is damaged.
        """
        from datasets import Image

        rows = _said(self.name, lambda: iter(self._splits[split].cast_column(image, Image(decode=False))))
        while (row := _said(self.name, lambda: next(rows, None))) is not None:
            yield row


def open_on_hub(name: str, subset: str | None, revision: str | None) -> Opened:
    """Opens a dataset by its name on the Hub, or a folder: one that `save_to_disk` wrote, or Parquet or images.

    It is streamed. Where its columns have no types until all rows are seen, it is downloaded. subset: one of several
    configurations. revision: branch, tag or commit. Raises InputError for a name that the Hub does not have or does not
    show, without a network, and as `extras_of` does.
    """
    with extras_of("`uncrowd fetch`"):
        from datasets import Dataset, IterableDataset, load_dataset, load_from_disk
    folder = Path(name)
    if any((folder / file).is_file() for file in ("dataset_dict.json", "state.json")):
        found = _said(name, lambda: load_from_disk(name))
    else:
        where = str(folder.resolve()) if folder.is_dir() else name

        def load(*, streaming: bool) -> Any:
            return load_dataset(where, subset, revision=revision, streaming=streaming)

        found = _said(name, lambda: load(streaming=True))
        if any(split.features is None for split in found.values()):
            found = _said(name, lambda: load(streaming=False))
    alone = isinstance(found, Dataset | IterableDataset)
    splits = {str(found.split or "train"): found} if alone else {str(key): split for key, split in found.items()}
    if not splits:
        raise InputError(f"{name} has no splits; give another dataset.")
    return Opened(name, splits)


def content_of(path: str, name: str) -> bytes:
    """Returns the bytes of an image that a row names, on disk, on the Hub or in an archive there."""
    import fsspec

    def read() -> bytes:
        with fsspec.open(path, "rb") as file:
            return file.read()  # pyright: ignore[reportAttributeAccessIssue]

    return _said(name, read)


def _said(name: str, call: Callable[[], Result]) -> Result:
    """Returns what the call returns. Its errors, of which the library and those below it have many, become one."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        return call()
    except DatasetNotFoundError as error:
        mend = "correct the name, or log in with `hf auth login` if it is not public"
        raise InputError(f"{name} cannot be fetched: {_beginning(error)}; {mend}.") from error
    except ConnectionError as error:
        mend = "connect to the network, or give a folder with the dataset"
        raise InputError(f"{name} cannot be fetched: {_beginning(error)}; {mend}.") from error
    except Exception as error:
        raise InputError(f"{name} cannot be read as a dataset: {_beginning(error)}.") from error


def _beginning(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]).rstrip(".:") if lines else type(error).__name__
