"""Frozen dataclasses to JSON and back: a run's configuration is saved with it and can be loaded again."""

import json
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import cattrs
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError

from uncrowd.errors import InputError
from uncrowd.whole_file import whole_file

Config = TypeVar("Config")

# Keys that earlier versions wrote -> the keys that are read in their place.
RENAMED = {"pictures": "images"}

_converter = cattrs.Converter(forbid_extra_keys=True)


def _exactly(value: Any, cls: type) -> Any:
    """JSON's own types alone: Python would make 2 of 2.5, and true of "false"."""
    wanted = (int, float) if cls is float else (cls,)
    if type(value) not in wanted:
        raise ValueError(f"{json.dumps(value)} instead of {_IN_WORDS[cls]}")
    return cls(value)


_IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
for _cls in _IN_WORDS:
    _converter.register_structure_hook(_cls, _exactly)


# One of several dataclasses: the JSON says which by its name, under this key.
KIND = "kind"


def _is_choice(cls: Any) -> bool:
    members = get_args(cls) if get_origin(cls) in (UnionType, Union) else ()
    return len(members) > 1 and all(map(is_dataclass, members))


@_converter.register_unstructure_hook_factory(_is_choice)
def _choice_to_dict(_: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {KIND: type(value).__name__, **_converter.unstructure(value, type(value))}


@_converter.register_structure_hook_factory(_is_choice)
def _choice_from_dict(cls: Any) -> Callable[[Any, Any], Any]:
    members = {member.__name__: member for member in get_args(cls)}

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError
        kind = value.get(KIND)
        if kind not in members:
            raise ValueError(f"{json.dumps(kind)} as its {KIND}, which is none of {', '.join(members)}")
        return _converter.structure({key: item for key, item in value.items() if key != KIND}, members[kind])

    return structure


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as JSON-able dictionaries, lists and scalars."""
    return _converter.unstructure(config)


def read_json(text: str) -> Any:
    """Returns what `json.loads` does, with the keys of earlier versions replaced by those of this one.

    Everything that holds settings is read with it: runs, checkpoints, weights and ONNX files. Raises what `json.loads`
    raises.
    """
    return json.loads(text, object_hook=_with_new_keys)


def _with_new_keys(values: dict[str, Any]) -> dict[str, Any]:
    if isinstance(weighted := values.get("channel_weighting"), bool) and "interaction" not in values:  # DETR's
        values = {key: value for key, value in values.items() if key != "channel_weighting"}
        values["interaction"] = "dcw" if weighted else "entangled"
    return {RENAMED.get(key, key): value for key, value in values.items()}


def from_dict(cls: type[Config], values: Any, source: str) -> Config:
    """The configuration that `to_dict` wrote.

    Raises InputError, naming `source`, for unknown or missing keys and for values of the wrong type.
    """
    try:
        if not isinstance(values, dict):
            raise TypeError
        return _converter.structure(values, cls)
    except (BaseValidationError, TypeError, ValueError) as error:
        reasons = cattrs.transform_error(error, path=cls.__name__, format_exception=_reason)
        raise InputError(
            f"{source} is no {cls.__name__} of this version: {'; '.join(reasons)}; correct it, or use the version of "
            "uncrowd that wrote it."
        ) from error


def save(config: Any, path: Path) -> None:
    """Writes `config` as indented JSON, whole or not at all. Raises InputError when it cannot be written."""
    with whole_file(path) as file:
        file.write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")


def load(cls: type[Config], path: Path) -> Config:
    """Reads what `save` wrote. Raises InputError when the file is not such a configuration."""
    try:
        values = read_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    return from_dict(cls, values, str(path))


def differences(first: Any, second: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """What differs between two configurations as `to_dict` gives them: dotted name, value in the one, in the other.

    A value that is missing is None.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        names = {key: f"{name}.{key}" if name else key for key in {**first, **second}}
        return [found for key, full in names.items() for found in differences(first.get(key), second.get(key), full)]
    return [] if first == second else [(name, first, second)]


def _reason(error: BaseException, cls: Any) -> str:
    """What is wrong in words; a class that refuses its values knows best why."""
    if isinstance(error, TypeError | AttributeError):  # a number where a list is to be, a list where an object is
        return "something of another form"
    if isinstance(error, KeyError | ForbiddenExtraKeysError):
        return cattrs.v.format_exception(error, cls)
    return str(error).replace("typing.Literal", "").rstrip(".")
