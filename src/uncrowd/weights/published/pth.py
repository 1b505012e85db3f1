"""What a `.pth` file holds, read without running the code that such a file may contain."""

import re
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from uncrowd.errors import InputError
from uncrowd.models.build import AnyDetectorConfig

# What is looked for in a name, and what takes its place.
Rule = tuple[str, str | Callable[[re.Match[str]], str]]


class PthFile(NamedTuple):
    """The tensors of a checkpoint under their own names, and what else stands beside them at its top."""

    source: str
    tensors: Mapping[str, Tensor]
    beside: Mapping[str, Any]


class Renamed(NamedTuple):
    """A checkpoint in our terms.

    naming: whose naming it was, in words. config: of the model that the tensors, under our names, are. class_names:
    None where the file does not say. notes: sentences about what was left out or could not be known.
    """

    naming: str
    config: AnyDetectorConfig
    tensors: dict[str, Tensor]
    class_names: tuple[str, ...] | None
    notes: list[str]


def read_pth(path: Path) -> PthFile:
    """Reads with `weights_only`. Tensors are looked for under 'state_dict', under 'model', and at the top.

    Raises InputError, in one sentence, when there are none or they cannot be had safely.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the checkpoint (.pth) in it.")
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; fetch it again.")
    checkpoint = _load(path)
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} holds a {type(checkpoint).__name__}, no dictionary of tensors.")
    for key in ("state_dict", "model"):
        if key in checkpoint:
            tensors, beside = checkpoint[key], {name: value for name, value in checkpoint.items() if name != key}
            break
    else:
        tensors, beside = checkpoint, {}
    if not isinstance(tensors, dict) or not all(isinstance(x, str) and isinstance(tensors[x], Tensor) for x in tensors):
        raise InputError(f"{path} holds no dictionary of tensors, neither at its top nor as 'state_dict' or 'model'.")
    return PthFile(str(path), tensors, beside)


def without(tensors: Mapping[str, Tensor], pattern: str) -> tuple[dict[str, Tensor], int]:
    """Returns the tensors whose names do not contain the pattern, and the number of those that do."""
    kept = {name: tensor for name, tensor in tensors.items() if not re.search(pattern, name)}
    return kept, len(tensors) - len(kept)


def rename_all(tensors: Mapping[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    """Returns the tensors under the names that `rename` gives them; no two may get the same."""
    renamed = {rename(name): tensor for name, tensor in tensors.items()}
    assert len(renamed) == len(tensors), "two tensors under one name"
    return renamed


def by_first_rule(name: str, rules: Sequence[Rule]) -> str:
    """Returns the name after the first of the rules that fits its beginning; where none does, as it is."""
    return next((re.sub(rf"^{old}", new, name) for old, new in rules if re.match(old, name)), name)


def count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many different things the pattern's group names."""
    return len({match[1] for name in tensors if (match := re.match(pattern, name))})


def _load(path: Path) -> Any:
    try:
        # DETR's training leaves its command line beside the weights; a namespace is but a dictionary.
        with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's version: what cannot be read is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and EOF errors alike; torch's own words advise to run the code
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted is None:
            raise InputError(
                f"{path} is no PyTorch checkpoint, or a damaged one ({type(error).__name__}); "
                "give the .pth as its author published it."
            ) from error
        raise InputError(
            f"{path} holds more than tensors ({wanted[1]}) and cannot be read without running code; have its tensors "
            "saved alone, as mmdetection's tools/model_converters/publish_model.py does."
        ) from error
