"""Ways in which a file gets damaged, or was never right: bytes at random, and JSON with one value exchanged."""

import copy
import json
from typing import Any

import numpy as np

# Values that stand where another is expected.
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, "", "1", "yes", "0.5", "x" * 5000, "\ud800", "\x1b[31mred\x1b[0m", "a\nuncrowd: error"),
    *(0, 1, -1, 2, 0.5, -0.0, 1e308, float("nan"), float("inf"), 10**30, 2**63, -(2**63) - 1, 1_000_000_000),
    *("../../../etc/passwd", "/dev/zero", "/dev/stdin", "C:\\data\\000001.jpg", "images%2F000001.jpg", "."),
    *([], {}, [[]], [1, 2, 3], [1, 2, 3, "4"], [0.1, 0.2, 0.3, 0.4], {"a": 1}, [None] * 4),
)


def damaged_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Returns the data with up to four places changed, cut out, repeated, or cut off."""
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(0, len(data) + 1))
        length = int(rng.integers(1, 1 + min(64, max(1, len(data) // 8))))
        match rng.integers(5):
            case 0:
                data = data[:start] + rng.bytes(length) + data[start + length :]
            case 1:
                data = data[:start] + data[start + length :]
            case 2:
                data = data[:start] + data[start : start + length] * 2 + data[start + length :]
            case 3:
                data = data[:start]
            case _:
                data = data[:start] + rng.bytes(length) + data[start:]
    return data


def damaged_json(value: Any, rng: np.random.Generator) -> Any:
    """Returns a copy with up to three values exchanged for hostile ones, removed, or repeated."""
    value = copy.deepcopy(value)
    for _ in range(rng.integers(1, 4)):
        holder, key = _place(value, rng)
        if holder is None:
            return value
        match rng.integers(4):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 0 | 1 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case _:
                holder[key] = copy.deepcopy(HOSTILE[rng.integers(len(HOSTILE))])
    return value


def damaged_throughout(records: list[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Returns a copy in which one key of every record is exchanged for the same hostile value, or removed."""
    records = copy.deepcopy(records)
    keys = sorted({key for record in records for key in record})
    key, value = str(rng.choice(keys)), HOSTILE[rng.integers(len(HOSTILE))]
    remove = rng.random() < 0.3
    for record in records:
        if remove:
            record.pop(key, None)
        else:
            record[key] = copy.deepcopy(value)
    return records


def to_bytes(value: Any) -> bytes:
    """Writes JSON as other programs do: NaN and lone surrogates included."""
    return json.dumps(value).encode()


def _place(value: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Returns a random container inside `value` and a key of it, deep places as likely as shallow ones."""
    holder: Any = None
    key: Any = None
    while isinstance(value, dict | list) and value:
        key = str(rng.choice(list(value))) if isinstance(value, dict) else int(rng.integers(len(value)))
        holder, value = value, value[key]
        if rng.random() < 0.25:
            break
    return holder, key
