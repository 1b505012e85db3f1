"""The outlines of all boxes of a dataset as one array of bytes, which is small, and cheap to pickle and to fork."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8

from uncrowd.structures import Outline

# The first byte of an outline says its form: the text of a mask's run lengths, or float32 numbers (x, y, x, y, ...).
_MASK, _POLYGONS = b"m", b"p"
# Parts one polygon from the next, as points are finite.
_BETWEEN = np.full((1, 2), np.nan, dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlines:
    """A sequence of outlines, each None where a box has none.

    spans: the bytes `data[start:end]` are one outline; start == end where there is none. Subsets share the bytes.
    """

    data: UInt8[np.ndarray, " bytes"]
    spans: Int64[np.ndarray, "m 2"]

    @classmethod
    def pack(cls, outlines: Iterable[Outline | None]) -> "Outlines | None":
        """Packs outlines; returns None if there are none."""
        packing = Packing()
        for outline in outlines:
            packing.add(outline)
        return packing.packed()

    @classmethod
    def join(cls, parts: Sequence["Outlines | None"], boxes: Sequence[int]) -> "Outlines | None":
        """Returns the outlines of several datasets, one after another. boxes: how many each dataset has."""
        if not any(part is not None for part in parts):
            return None
        data, spans, before = [], [], 0
        for part, count in zip(parts, boxes, strict=True):
            spans.append(np.zeros((count, 2), dtype=np.int64) if part is None else part.spans + before)
            if part is not None:
                data.append(part.data)
                before += len(part.data)
        return cls(data=np.concatenate(data), spans=np.concatenate(spans))

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, rows: slice) -> "Iterator[Outline | None]":
        return (self._read(start, end) for start, end in self.spans[rows].tolist())

    def take(self, rows: Int64[np.ndarray, " k"]) -> "Outlines":
        """Returns the outlines of these rows, in that order."""
        return Outlines(data=self.data, spans=self.spans[rows])

    @property
    def present(self) -> np.ndarray:
        """A mask of the boxes that have an outline."""
        return self.spans[:, 1] > self.spans[:, 0]

    def _read(self, start: int, end: int) -> Outline | None:
        if start == end:
            return None
        content = self.data[start + 1 : end].tobytes()
        if self.data[start] == _MASK[0]:
            return content.decode("ascii")
        numbers = np.frombuffer(content, dtype="<f4").astype(np.float32).reshape(-1, 2)
        gaps = np.flatnonzero(np.isnan(numbers[:, 0]))
        return tuple(part[1:] if index else part for index, part in enumerate(np.split(numbers, gaps)))


class Packing:
    """Packs outlines that come one by one."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._spans = array("q")

    def add(self, outline: Outline | None) -> None:
        """Adds the outline of the next box."""
        start = len(self._data)
        if isinstance(outline, str):
            self._data += _MASK + outline.encode("ascii")
        elif outline is not None:
            parts = [part for polygon in outline for part in (_BETWEEN, polygon)][1:]
            self._data += _POLYGONS + np.concatenate(parts).astype("<f4").tobytes()
        self._spans.extend((start, len(self._data)))

    def packed(self) -> Outlines | None:
        """Returns all that were added, or None if no box has an outline."""
        if not self._data:
            return None
        spans = np.array(self._spans, dtype=np.int64).reshape(-1, 2)
        return Outlines(data=np.frombuffer(self._data, dtype=np.uint8), spans=spans)
