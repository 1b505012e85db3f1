"""The first weights of a run: a pretrained backbone, or every weight of another run. Nothing is skipped silently."""

from pathlib import Path
from typing import Any

from uncrowd import config
from uncrowd.errors import InputError
from uncrowd.models.detector import Detector, DetectorConfig
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.recipes import EXPERIMENTS
from uncrowd.structures import Categories
from uncrowd.weights.class_head import with_classes
from uncrowd.weights.file import load_exactly, load_weights

# What leaves no trace in the tensors and does not change what they compute.
_OF_TRAINING = {"num_classes", "backbone.pretrained", "backbone.frozen_stages", "backbone.drop_path"}


def initialise(model: Detector, categories: Categories, start_from: str | None, *, new_class_head: bool) -> str:
    """Gives the model its first weights and returns, in words, where they came from.

    start_from: a weights file or a run's folder; None loads what the backbone's configuration names. new_class_head:
    the file may be of other classes. Raises InputError when the file's model or classes are others.
    """
    if start_from is None:
        if new_class_head:
            raise InputError("--new-class-head changes the classes of weights; name them with --start-from.")
        return f"backbone: {model.backbone.load_pretrained()}"
    weights = load_weights(Path(start_from))
    if type(weights.model) is not type(model):
        raise InputError(
            f"{start_from} is a {type(weights.model).__name__}, the recipe trains a {type(model).__name__}; "
            "start from weights of the same detector."
        )
    words = f"all weights from {start_from}"
    if new_class_head:
        if not isinstance(weights.model, SparseRCNN):
            raise InputError(
                f"{start_from} is a {type(weights.model).__name__}; --new-class-head knows Sparse R-CNN's."
            )
        changed, sentence = with_classes(weights.model, weights.categories, categories)
        weights, words = weights._replace(model=changed), f"{words}, but for a {sentence}"
    elif weights.categories.names != categories.names:
        raise InputError(
            f"{start_from} knows the classes {', '.join(weights.categories.names)}, the data has "
            f"{', '.join(categories.names)}; start from weights of the same classes, or add --new-class-head."
        )
    differences = _differences(weights.model.config, model.config)
    try:
        load_exactly(model, weights.model.state_dict(), start_from)
    except InputError as error:  # its list of tensors is put below the settings that cause it
        flags = [f"--model.{name.replace('_', '-')} {_as_flag(old)}" for name, old, _ in differences]
        fitting = experiments_of(weights.model)
        train_that = f"train {fitting[0]}, or " if fitting else ""
        raise InputError(
            f"{start_from} is of another model than the recipe's; {train_that}give its settings: "
            f"{' '.join(flags)}\n{error}"
        ) from error
    if differences:
        listed = ", ".join(f"{name} was {old!r} and is {new!r}" for name, old, new in differences)
        words = f"{words}; NOTE: they were trained with other settings: {listed}"
    return words


def experiments_of(model: Detector) -> list[str]:
    """The names of the experiments that train such a model, so that its weights can start them as they are."""
    configs = {name: build().model for name, build in EXPERIMENTS.items()}
    return [
        name
        for name, other in configs.items()
        if type(other) is type(model.config) and not _differences(model.config, other)
    ]


def _differences(theirs: DetectorConfig, ours: DetectorConfig) -> list[tuple[str, Any, Any]]:
    """Settings that make another model: name, its value there, its value here."""
    differing = config.differences(config.to_dict(theirs), config.to_dict(ours))
    return [(name, old, new) for name, old, new in differing if not _leaves_no_trace(name, old, new)]


def _leaves_no_trace(name: str, old: Any, new: Any) -> bool:
    if name == "backbone.name":
        return old.partition(".")[0] == new.partition(".")[0]  # what follows names weights, not a network
    return name in _OF_TRAINING


def _as_flag(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
