"""Score thresholds on the command line: `--threshold 0.4`, or `--threshold person=0.4 dog=0.2`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

from tyro.conf import arg

from uncrowd.data.classes import unquoted
from uncrowd.errors import InputError, require_threshold
from uncrowd.inference.predictor import Predictor
from uncrowd.thresholds import DEFAULT_THRESHOLD, Threshold, in_words, of_each_class, require_known

DIFFER = (
    "boxes and counts have thresholds of their own, so their numbers may differ; --threshold NUMBER sets one for both"
)

ThresholdWords = Annotated[tuple[str, ...], arg(metavar="NUMBER | CLASS=NUMBER [...]", help_behavior_hint="")]


def read_threshold(words: Sequence[str]) -> Threshold | None:
    """Returns the number, or the number of each class that is named; None if nothing is given.

    Raises InputError for anything else, before a detector is loaded.
    """
    if not words:
        return None
    if len(words) == 1 and "=" not in words[0]:
        return _number(words[0], "--threshold")
    named: dict[str, float] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        if not equals:
            raise InputError(
                f"--threshold {' '.join(words)}: give one number for all classes, such as 0.4, or one for each, such "
                "as person=0.4 'traffic light=0.2'."
            )
        named[unquoted(name)] = _number(number, f"--threshold {name}")
    return named


def without_images(words: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Returns the words of --threshold, and the images that follow them on the command line.

    The first word belongs to the flag, and so do numbers and CLASS=NUMBER that are no files. Raises InputError where an
    image stands in the place of the first.
    """
    if words and not _may_be_threshold(words[0]) and Path(words[0]).exists():
        raise InputError(f"--threshold is followed by {words[0]}, not by a number; write --threshold 0.4 {words[0]}.")
    of_flag = [n == 0 or (_may_be_threshold(word) and not Path(word).exists()) for n, word in enumerate(words)]
    numbers = [word for word, belongs in zip(words, of_flag, strict=True) if belongs]
    return numbers, [Path(word) for word, belongs in zip(words, of_flag, strict=True) if not belongs]


def complete(threshold: Threshold, names: Sequence[str], otherwise: Threshold) -> Threshold:
    """Returns the threshold with a number for every class; those it does not name have that of `otherwise`.

    Raises InputError when it names a class that is not in `names`.
    """
    if not isinstance(threshold, Mapping):
        return threshold
    require_known(threshold, names)
    return dict(zip(names, of_each_class(otherwise, names), strict=True)) | dict(threshold)


class Chosen(NamedTuple):
    """The least scores of the detections that are shown, and of those that are counted; both also in words.

    note: a sentence for the user where the two differ, else None.
    """

    shown: Threshold
    counted: Threshold
    shown_words: str
    counted_words: str
    note: str | None


def choose(wanted: Threshold | None, predictor: Predictor, only: Sequence[str]) -> Chosen:
    """Returns the wanted thresholds for both; without any, those of the weights, or else the default.

    only: the classes that are reported. Classes that `wanted` does not name have the threshold of the weights. Raises
    InputError for a class that the detector does not have, or that is not reported.
    """
    best, names = predictor.thresholds, predictor.categories.names
    shown, counted = (DEFAULT_THRESHOLD, DEFAULT_THRESHOLD) if best is None else (best.f1, best.count)
    if wanted is not None:
        shown, counted = complete(wanted, names, shown), complete(wanted, names, counted)
    if isinstance(wanted, Mapping) and (left_out := set(wanted) - set(only)):
        raise InputError(f"--threshold names {min(left_out)}, which --only leaves out; name it in both or in none.")
    of_weights = best is not None and wanted is None

    def of_reported(threshold: Threshold) -> dict[str, float]:
        of_each = dict(zip(names, of_each_class(threshold, names), strict=True))
        return {name: of_each[name] for name in only}

    def said(threshold: Threshold, why: str) -> str:
        return f"{in_words(of_reported(threshold))} or more{why if of_weights else ''}"

    differ = of_reported(shown) != of_reported(counted)
    return Chosen(
        shown=shown,
        counted=counted,
        shown_words=said(shown, " (best F1 on validation data)"),
        counted_words=said(counted, " (best counts on validation data)"),
        note=DIFFER if differ else None,
    )


def _may_be_threshold(word: str) -> bool:
    with suppress(ValueError):
        return "=" in word or float(word) is not None
    return False


def _number(word: str, name: str) -> float:
    try:
        number = float(word)
    except ValueError as error:
        raise InputError(f"{name} is {word!r}; give a number between 0 and 1.") from error
    require_threshold(number, name)
    return number
