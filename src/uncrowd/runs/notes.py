"""What a run says of itself: notes for the user before the first step, and facts for its report."""

from importlib.metadata import version

import numpy as np
import torch
from accelerate import Accelerator

from uncrowd.data.check.boxes import Mask, learnable
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.splits import Splits
from uncrowd.data.transforms import resized_size
from uncrowd.engine.busy import busy_now
from uncrowd.models.cost import number_of_parameters
from uncrowd.models.detector import Detector
from uncrowd.ops.triton_available import lacking_for_triton
from uncrowd.paper.expected import expected_in_words
from uncrowd.recipes.experiment import Experiment
from uncrowd.words import counted

# 40 drawn scenes taught more in 1,000 steps than in 300: docs/results/queries.md.
FEW_STEPS = 1000
# In pixels after resizing, two steps of the dense head's points. A rule of thumb: objects of some ten pixels were the
# worst class of docs/results/bccd.md.
SMALL = 16


def notes(
    experiment: Experiment,
    train_set: DetectionDataset,
    steps_per_epoch: int,
    device: torch.device,
    *,
    from_random: bool,
) -> list[str]:
    """Returns what the user should know before training begins. from_random: whether it begins with random weights."""
    learnt = learnable(train_set)
    said = [*_on_proposals(experiment, train_set, learnt), *_on_small_objects(experiment, train_set, learnt)]
    optim, batch_size, epochs = experiment.optim, experiment.train.batch_size, experiment.train.epochs
    steps = epochs * steps_per_epoch
    late = [f"{milestone:g}" for milestone in optim.milestones if milestone * steps_per_epoch > steps - 1]
    if late:
        said.append(
            f"NOTE: training ends after {counted(epochs, 'epoch')}, before the learning rate falls at "
            f"{' and '.join(late)}; give earlier epochs with --optim.milestones."
        )
    if optim.scale_to_batch is not None:
        scaled = optim.learning_rate * batch_size / optim.scale_to_batch
        said.append(
            f"learning rate {scaled:g}: {optim.learning_rate:g} is for batches of {optim.scale_to_batch}, "
            f"scaled to batches of {batch_size}"
        )
    tile = experiment.augment.tile
    if tile is not None:
        said.append(f"scored in tiles of {tile} pixels, from which it learns; use the weights with --tiles {tile} too")
    lacking = lacking_for_kernels(device)
    if lacking is not None:
        said.append(f"NOTE: {lacking} is missing here, so the GPU runs without uncrowd's own kernels, more slowly.")
    busy = busy_now(device)
    if busy is not None:
        said.append(busy)
    said.append(
        f"training: {counted(len(train_set), 'image')}, {counted(epochs, 'epoch')} of "
        f"{counted(steps_per_epoch, 'step')}, {counted(steps, 'step')} in all"
    )
    if from_random and steps < FEW_STEPS:
        enough = -(-FEW_STEPS // steps_per_epoch)
        # A milestone that this run would never reach comes after four fifths of the longer one.
        shares = dict.fromkeys(min(milestone / epochs, 0.8) for milestone in optim.milestones)
        milestones = "".join(f" {share * enough:.0f}" for share in shares)
        said.append(
            f"NOTE: random weights learn more in {FEW_STEPS:,} steps than in {steps}: "
            f"--train.epochs {enough}{' --optim.milestones' if milestones else ''}{milestones}"
        )
    return said


def _on_proposals(experiment: Experiment, train_set: DetectionDataset, learnt: Mask) -> list[str]:
    """Returns a note where an image may have more objects than there are queries to find them.

    How many objects a tile has depends on where it is cut, so images that are cut into tiles do not count.
    """
    model, tile = experiment.model, experiment.augment.tile
    objects = np.diff(np.concatenate([np.zeros(1, np.int64), np.cumsum(learnt)])[train_set.offsets])
    whole = np.ones(len(train_set), dtype=bool) if tile is None else (train_set.sizes <= tile).all(axis=1)
    most = int(objects[whole].max(initial=0))
    later = ", or ask for more when you use the weights (--proposals)" if model.any_proposals else ""
    if most > model.proposals:
        return [
            f"NOTE: an image has up to {most} boxes, more than the {model.proposals} proposals; not all of them can be "
            f"found. Raise --model.proposals{later}."
        ]
    if model.any_proposals and 2 * most > model.proposals:
        return [
            f"NOTE: an image has up to {most} boxes; some of the {model.proposals} queries fall on the same object, so "
            f"twice as many as boxes find more. Give --model.proposals {2 * most}{later}."
        ]
    return []


def _on_small_objects(experiment: Experiment, train_set: DetectionDataset, learnt: Mask) -> list[str]:
    """Returns a note where half of the objects have fewer pixels than SMALL x SMALL after resizing."""
    resize, tile = experiment.resize, experiment.augment.tile
    sizes = train_set.sizes if tile is None else np.minimum(train_set.sizes, tile)
    resized = [resized_size(height, width, resize.short_side, resize.max_size) for height, width in sizes.tolist()]
    scales = np.repeat(np.sqrt(np.prod(resized, axis=1) / sizes.prod(axis=1)), train_set.counts)
    sides = (train_set.boxes[:, 2:] - train_set.boxes[:, :2])[learnt]  # in pixels of the image
    middle = float(np.median(np.sqrt(sides.prod(axis=1)) * scales[learnt]))
    if middle >= SMALL:
        return []
    what, mend = "images are", "or on tiles (--augment.tile)"
    if tile is not None:
        what, mend = "tiles are", "or on smaller tiles (--augment.tile)"
    return [
        f"NOTE: when {what} resized to a short side of {resize.short_side}, half of the objects are smaller than "
        f"{middle:.2g} x {middle:.2g} pixels, and small objects are found worst. Train at a larger size "
        f"(--augment.short-sides, --augment.max-size, --resize.short-side, --resize.max-size) {mend}."
    ]


def lacking_for_kernels(device: torch.device) -> str | None:
    """Returns in words what uncrowd's own kernels need and this device lacks; None if nothing, and on a CPU."""
    return lacking_for_triton() if device.type == "cuda" else None


def facts(
    splits: Splits,
    train_set: DetectionDataset,
    val_words: str,
    experiment: Experiment,
    model: Detector,
    accelerator: Accelerator,
) -> dict[str, str]:
    """Returns the model and its data in words, for the report."""
    device = accelerator.device
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    parameters, tile = number_of_parameters(model), experiment.augment.tile
    known = {
        "Data": splits.describe(),
        "Trained on": f"{len(train_set):,} images with {len(train_set.boxes):,} boxes",
        "Scored on": val_words + (f", in tiles of {tile} pixels" if tile is not None else ""),
        "Recipe": experiment.name,
        "Model": f"{experiment.model.in_words()}, {parameters / 1e6:.1f} million parameters",
        "Device": device_name if accelerator.num_processes == 1 else f"{accelerator.num_processes} x {device_name}",
        "Versions": f"uncrowd {version('uncrowd')}, torch {torch.__version__}",
    }
    lacking = lacking_for_kernels(device)
    if lacking is not None:
        known["Kernels"] = f"without uncrowd's own: {lacking} is missing"
    expected = expected_in_words(experiment)
    return known if expected is None else {**known, "Expected by the paper": expected}


def longer(experiment: Experiment, before: int) -> str:
    """Returns what more epochs than `before` do to the schedule."""
    falls = " and ".join(f"{milestone:g}" for milestone in experiment.optim.milestones)
    schedule = f"falls after epoch {falls}" if falls else "stays the same"
    return (
        f"the run gets {counted(experiment.train.epochs, 'epoch')} instead of {before}; its learning rate {schedule}, "
        "as before, and is not stretched to the new length"
        f"{'; paste and mosaic taper off towards the new end' if experiment.augment.borrows else ''}"
    )
