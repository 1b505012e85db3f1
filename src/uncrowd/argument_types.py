"""The types of what users give in Python, checked where it comes in: a wrong one is said there, and not deep inside."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from inspect import Parameter, signature
from numbers import Integral, Real
from pathlib import Path
from reprlib import repr as short
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from uncrowd.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

# Parameters that take any number of arguments, such as the changes of `resume`, are not checked.
_MANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
# Values that a sentence can show; of others it names the type.
_SHOWN = (str, bytes, int, float, list, tuple, dict, set, NoneType)


def checked_types(**mends: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Returns a decorator with which a function raises InputError for arguments of other types than it declares.

    mends: what to give for a parameter, where its type alone does not say it.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters, hints = signature(function), cache(lambda: get_type_hints(function))
        single = [name for name, each in parameters.parameters.items() if each.kind not in _MANY]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            given = parameters.bind(*args, **kwargs).arguments
            require_types(hints(), {name: given[name] for name in single if name in given}, mends)
            return function(*args, **kwargs)

        return checked

    return decorate


def require_types(hints: Mapping[str, Any], values: Mapping[str, Any], mends: Mapping[str, str] | None = None) -> None:
    """Raises InputError for the first value that is not of the type that `hints` has for its name, if it has one."""
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            given = short(value) if isinstance(value, _SHOWN) else f"of the type {type(value).__name__}"
            raise InputError(f"{name} is {given}; give {(mends or {}).get(name) or _in_words(hints[name])}.")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has a type, and is no empty or impossible path.

    NumPy's numbers are numbers, whole ones are also floats, and truths are neither.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if Path in inner and isinstance(value, str) and ("\0" in value or not value.strip()):
        return False  # an empty name would be the current folder
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if origin in (Sequence, tuple):  # the tuples of settings are of one type
        return isinstance(value, Sequence) and all(_fits(each, inner[0]) for each in value)
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, os.PathLike)
    return hint is Any or isinstance(value, origin or hint)


def _in_words(hint: Any) -> str:
    """Returns a type as code has it, without the names of modules: "str | Path | None"."""
    text = hint.__name__ if isinstance(hint, type) else str(hint).replace("NoneType", "None")
    return re.sub(r"\b(\w+\.)+", "", text)
