"""Reads a `.pth` file without running the code that such a file may contain, and renames its tensors."""

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

# A regular expression to find in a name, and its replacement.
Rule = tuple[str, str | Callable[[re.Match[str]], str]]


class PthFile(NamedTuple):
    """The tensors of a checkpoint under their original names, and the other entries at its top level."""

    source: str
    tensors: Mapping[str, Tensor]
    beside: Mapping[str, Any]


class Renamed(NamedTuple):
    """A checkpoint whose tensors have our names.

    naming: the project whose names the file had, in words. config: the configuration of the model. class_names: None
    when the file does not hold them. notes: sentences about tensors that were left out and settings that are assumed.
    """

    naming: str
    config: AnyDetectorConfig
    tensors: dict[str, Tensor]
    class_names: tuple[str, ...] | None
    notes: list[str]


def read_pth(path: Path) -> PthFile:
    """Reads the tensors under 'state_dict', under 'model' or at the top level, with `weights_only`.

    Raises InputError when there are none, and when they cannot be read without running code.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the checkpoint (.pth) in it.")
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist; correct its name, or download it.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; download it again.")
    checkpoint = _load(path)
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} holds a {type(checkpoint).__name__}, not a dictionary of tensors.")
    for key in ("state_dict", "model"):
        if key in checkpoint:
            tensors, beside = checkpoint[key], {name: value for name, value in checkpoint.items() if name != key}
            break
    else:
        tensors, beside = checkpoint, {}
    if not isinstance(tensors, dict) or not all(isinstance(x, str) and isinstance(tensors[x], Tensor) for x in tensors):
        raise InputError(
            f"{path} holds no dictionary of tensors, neither at its top level nor as 'state_dict' or 'model'."
        )
    return PthFile(str(path), tensors, beside)


def without(tensors: Mapping[str, Tensor], pattern: str) -> tuple[dict[str, Tensor], int]:
    """Returns the tensors whose names do not contain the pattern, and the number of the others."""
    kept = {name: tensor for name, tensor in tensors.items() if not re.search(pattern, name)}
    return kept, len(tensors) - len(kept)


def rename_all(tensors: Mapping[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    """Returns the tensors under the names that `rename` gives them; no two may get the same name."""
    renamed = {rename(name): tensor for name, tensor in tensors.items()}
    assert len(renamed) == len(tensors), "two tensors under one name"
    return renamed


def by_first_rule(name: str, rules: Sequence[Rule]) -> str:
    """Applies the first rule that matches the beginning of the name; returns the name unchanged when none does."""
    return next((re.sub(rf"^{old}", new, name) for old, new in rules if re.match(old, name)), name)


def count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """Returns how many different texts the group of the pattern matches in the names."""
    return len({match[1] for name in tensors if (match := re.match(pattern, name))})


def _load(path: Path) -> Any:
    try:
        # DETR saves its command line beside the weights as a Namespace, which holds only values.
        with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the version of the pickle; failures are reported below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and EOF errors; torch's own message advises to run the code
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted is None:
            raise InputError(
                f"{path} is not a PyTorch checkpoint, or is damaged ({type(error).__name__}); "
                "give the .pth as its author published it."
            ) from error
        raise InputError(
            f"{path} holds more than tensors ({wanted[1]}) and cannot be read without running code; save its "
            "tensors alone, as mmdetection's tools/model_converters/publish_model.py does."
        ) from error
