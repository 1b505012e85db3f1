"""Masks as COCO's run lengths (RLE): those of background and object in turn, down the columns of the image.

The compressed form is that of COCO's maskApi.c (https://github.com/cocodataset/cocoapi).
"""

from typing import Any

import numpy as np
from jaxtyping import Int64

# Six bits a character, of which five hold digits.
_FIRST, _DIGITS, _SIGN, _MORE = ord("0"), 0x1F, 0x10, 0x20
# No image has as many pixels as this many groups of five bits count.
_MOST_GROUPS = 13


def object_runs(counts: Any, size: tuple[int, int]) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]] | None:
    """Returns the first pixel and the one after the last of each run of the object, counted down the columns.

    counts: a JSON value, run lengths as numbers or as COCO's text. size: (height, width) of the image. None where the
    value holds no run lengths, or more pixels than the image.
    """
    runs = decompress(counts) if isinstance(counts, str) else counts
    height, width = size
    if not isinstance(runs, list) or any(type(run) is not int or run < 0 for run in runs) or sum(runs) > height * width:
        return None
    lengths: Int64[np.ndarray, " n"] = np.array(runs, dtype=np.int64)
    ends = np.cumsum(lengths)
    of_object = (np.arange(len(runs)) % 2 == 1) & (lengths > 0)
    return (ends - lengths)[of_object], ends[of_object]


def decompress(text: str) -> list[int] | None:
    """Returns the run lengths that COCO's text holds, or None where it is not such a text."""
    runs: list[int] = []
    run = groups = 0
    for character in text:
        code = ord(character) - _FIRST
        if not 0 <= code < 2 * _MORE or groups == _MOST_GROUPS:
            return None
        run |= (code & _DIGITS) << (5 * groups)
        groups += 1
        if not code & _MORE:
            if code & _SIGN:
                run -= 1 << (5 * groups)
            # From the fourth run on, the text holds the difference to the run before the last.
            runs.append(run + runs[-2] if len(runs) > 2 else run)
            run = groups = 0
    return runs if groups == 0 else None


def compress(runs: list[int]) -> str:
    """Returns the text of run lengths; `decompress` undoes it."""
    codes: list[int] = []
    for position, run in enumerate(runs):
        left = run - runs[position - 2] if position > 2 else run
        while True:
            digits, left = left & _DIGITS, left >> 5
            done = left == (-1 if digits & _SIGN else 0)
            codes.append(digits if done else digits | _MORE)
            if done:
                break
    return "".join(chr(code + _FIRST) for code in codes)
