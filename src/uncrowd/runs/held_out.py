"""Finds the images again that a run held out of a dataset without a validation split."""

from pathlib import Path

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.splits import hold_out
from uncrowd.engine.checkpoint import facts_of
from uncrowd.errors import InputError
from uncrowd.runs.identity import completed, contents


def held_out(run: Path, dataset: DetectionDataset) -> DetectionDataset | None:
    """Returns those images of a training split, with the classes of the run, that the run held out and was scored on.

    None where the folder has no checkpoint, and where the run held out nothing or had other data.
    """
    facts = facts_of(run / "last.safetensors")
    if facts is None or len(dataset) < 2:
        return None
    try:
        facts = completed(facts)
        _, held = hold_out(dataset, seed=facts["configuration"]["train"]["seed"])
    except (InputError, KeyError, TypeError, ValueError, AttributeError):  # damaged, so no run can go on from it either
        return None
    return held if contents(held) == facts["validation data"] else None
