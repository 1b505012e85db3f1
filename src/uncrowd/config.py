"""Frozen dataclasses to JSON and back: each run saves its configuration, which can be loaded again."""

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

_converter = cattrs.Converter(forbid_extra_keys=True)


def _exactly(value: Any, cls: type) -> Any:
    """Accepts only the matching JSON type, because Python would convert 2.5 to 2 and "false" to true."""
    wanted = (int, float) if cls is float else (cls,)
    if type(value) not in wanted:
        raise ValueError(f"{json.dumps(value)} instead of {_IN_WORDS[cls]}")
    return cls(value)


_IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
for _cls in _IN_WORDS:
    _converter.register_structure_hook(_cls, _exactly)


# Where a value is one of several dataclasses, the JSON names the class under this key.
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
            raise ValueError(f"its {KIND} is {json.dumps(kind)}, not one of {', '.join(members)}")
        return _converter.structure({key: item for key, item in value.items() if key != KIND}, members[kind])

    return structure


def to_dict(config: Any) -> dict[str, Any]:
    """Returns a configuration as dictionaries, lists and scalars that JSON can hold."""
    return _converter.unstructure(config)


def read_json(text: str) -> Any:
    """Returns what `json.loads` returns, with settings of earlier versions replaced by those of this version.

    All files that hold settings are read with it: runs, checkpoints, weights and ONNX files. Raises the errors of
    `json.loads`, and as `unique_keys` does.
    """
    return json.loads(text, object_pairs_hook=lambda pairs: _with_new_keys(unique_keys(pairs)))


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the pairs of a JSON object as a dictionary: an `object_pairs_hook` for `json.loads`.

    Raises ValueError for a key that is given twice, of which Python would keep the last value.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return values


def _with_new_keys(values: dict[str, Any]) -> dict[str, Any]:
    if isinstance(weighted := values.get("channel_weighting"), bool) and "interaction" not in values:  # DETR's
        values = {key: value for key, value in values.items() if key != "channel_weighting"}
        values["interaction"] = "dcw" if weighted else "entangled"
    return values


def from_dict(cls: type[Config], values: Any, source: str) -> Config:
    """Returns the configuration from which `to_dict` made `values`.

    Raises InputError, naming `source`, for unknown or missing keys and for values of the wrong type.
    """
    try:
        if not isinstance(values, dict):
            raise TypeError
        return _converter.structure(values, cls)
    except (BaseValidationError, TypeError, ValueError) as error:
        reasons = cattrs.transform_error(error, path=cls.__name__, format_exception=_reason)
        raise InputError(
            f"{source} is not a valid {cls.__name__} of this version: {'; '.join(reasons)}; correct it, or use the "
            "version of uncrowd that wrote it."
        ) from error


def save(config: Any, path: Path) -> None:
    """Writes `config` as indented JSON, whole or not at all. Raises InputError if it cannot be written."""
    with whole_file(path) as file:
        file.write_text(json.dumps(to_dict(config), indent=2) + "\n", encoding="utf-8")


def load(cls: type[Config], path: Path) -> Config:
    """Reads what `save` wrote. Raises InputError if the file does not hold such a configuration."""
    try:
        values = read_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    return from_dict(cls, values, str(path))


def differences(first: Any, second: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Returns the differences of two configurations made by `to_dict`: dotted name, first value, second value.

    A value that is missing is None.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        names = {key: f"{name}.{key}" if name else key for key in {**first, **second}}
        return [found for key, full in names.items() for found in differences(first.get(key), second.get(key), full)]
    return [] if first == second else [(name, first, second)]


def flat(values: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Returns the values of a configuration made by `to_dict` by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        full = f"{name}.{key}" if name else key
        found |= flat(value, full) if isinstance(value, dict) else {full: value}
    return found


def _reason(error: BaseException, cls: Any) -> str:
    """Returns, in words, what is wrong; a class that refuses its values has said it best."""
    if isinstance(error, TypeError | AttributeError):  # such as a number in place of a list
        return "a value of the wrong form"
    if isinstance(error, KeyError | ForbiddenExtraKeysError):
        return cattrs.v.format_exception(error, cls)
    return str(error).replace("typing.Literal", "").rstrip(".")
