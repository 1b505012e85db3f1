"""The first weights of a run: a pretrained backbone, or every weight of another run. Nothing is skipped silently."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from uncrowd import config
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.models.detector import Detector, DetectorConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.recipes import EXPERIMENTS, Experiment, small_data
from uncrowd.structures import Categories
from uncrowd.weights.class_head import with_classes
from uncrowd.weights.file import load_exactly, load_weights
from uncrowd.weights.proposals import with_proposals

# Settings that a run may change and go on from the same weights as if nothing had changed.
_OF_TRAINING = {
    "num_classes",
    "query_groups",
    "lower_duplicates",
    "backbone.pretrained",
    "backbone.frozen_stages",
    "backbone.drop_path",
    "stage.zero_deltas",
    "dense_head.detach_queries",
    "dense_head.detach_boxes",
}


def small_data_from(start_from: str | None) -> Experiment:
    """Returns the recipe for small data, with the model of a weights file or a run's folder if one is given.

    The recipe trains only Sparse R-CNN; for another detector it keeps its own model, and `initialise` refuses the
    weights. Raises InputError when the weights cannot be read.
    """
    experiment = small_data()
    if start_from is None:
        return experiment
    model = load_weights(Path(start_from)).model.config
    return replace(experiment, model=model) if isinstance(model, SparseRCNNConfig) else experiment


def initialise(
    model: Detector, categories: Categories, resize: ResizeConfig, start_from: str | None, *, new_class_head: bool
) -> str:
    """Gives the model its first weights and returns, in words, where they came from.

    resize: the size of images in the run. start_from: a weights file or a run's folder; its model may have another
    number of proposals. None loads what the configuration of the backbone names. new_class_head: the file may have
    other classes. Raises InputError when its model or its classes are others.
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
    exceptions: list[str] = []
    trained = weights.model
    if new_class_head:
        if not isinstance(trained, SparseRCNN):
            raise InputError(f"{start_from} is a {type(trained).__name__}; --new-class-head needs a Sparse R-CNN.")
        trained, sentence = with_classes(trained, weights.categories, categories)
        exceptions.append(f"a {sentence}")
    elif weights.categories.names != categories.names:
        raise InputError(
            f"{start_from} knows the classes {', '.join(weights.categories.names)}, the data has "
            f"{', '.join(categories.names)}; start from weights of the same classes, or add --new-class-head."
        )
    tensors, sentence = with_proposals(model, trained)
    exceptions += [sentence] if sentence else []
    differing = [each for each in _differences(trained.config, model.config) if each[0] != "proposals"]
    try:
        load_exactly(model, tensors, start_from)
    except InputError as error:  # its list of tensors comes below the settings that explain it
        flags = [f"--model.{name.replace('_', '-')} {_as_flag(old)}" for name, old, _ in differing]
        fitting = experiments_of(weights.model)
        train_that = f"train {fitting[0]}, or " if fitting else ""
        raise InputError(
            f"{start_from} has another model than the recipe; {train_that}give its settings: {' '.join(flags)}",
            *error.args,
        ) from error
    words = f"all weights from {start_from}" + (f", but for {' and '.join(exceptions)}" if exceptions else "")
    differing += config.differences(config.to_dict(weights.preprocessing), config.to_dict(resize), "resize")
    if differing:
        listed = ", ".join(f"{name} was {old!r} and is {new!r}" for name, old, new in differing)
        words = f"{words}; NOTE: they were trained with other settings: {listed}"
    return words


def experiments_of(model: Detector) -> list[str]:
    """Returns the names of the experiments that train exactly such a model."""
    configs = {name: build().model for name, build in EXPERIMENTS.items()}
    return [
        name
        for name, other in configs.items()
        if type(other) is type(model.config) and not _differences(model.config, other)
    ]


def _differences(theirs: DetectorConfig, ours: DetectorConfig) -> list[tuple[str, Any, Any]]:
    """Returns the settings that make two models differ: name, value in theirs, value in ours."""
    differing = config.differences(config.to_dict(theirs), config.to_dict(ours))
    return [(name, old, new) for name, old, new in differing if not _is_of_training(name, old, new)]


def _is_of_training(name: str, old: Any, new: Any) -> bool:
    if name == "backbone.name":
        return old.partition(".")[0] == new.partition(".")[0]  # what follows the dot names weights, not a network
    return name in _OF_TRAINING


def _as_flag(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
