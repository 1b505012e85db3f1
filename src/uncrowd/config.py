"""Frozen dataclasses to JSON and back: a run's configuration is saved with it and can be loaded again."""

import json
from pathlib import Path
from typing import Any, TypeVar

import cattrs
from cattrs.errors import BaseValidationError

from uncrowd.errors import InputError

Config = TypeVar("Config")

_converter = cattrs.Converter(forbid_extra_keys=True)


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as JSON-able dictionaries, lists and scalars."""
    return _converter.unstructure(config)


def from_dict(cls: type[Config], values: dict[str, Any], source: str) -> Config:
    """The configuration that `to_dict` wrote.

    Raises InputError, naming `source`, for unknown or missing keys and for values of the wrong type.
    """
    try:
        return _converter.structure(values, cls)
    except (BaseValidationError, TypeError, ValueError) as error:
        reasons = cattrs.transform_error(error, path=cls.__name__)
        raise InputError(f"{source} is no {cls.__name__} of this version: {'; '.join(reasons)}.") from error


def save(config: Any, path: Path) -> None:
    """Writes `config` as indented JSON."""
    path.write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")


def load(cls: type[Config], path: Path) -> Config:
    """Reads what `save` wrote. Raises InputError when the file is not such a configuration."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    return from_dict(cls, values, str(path))
