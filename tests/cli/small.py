"""A very small detector and dataset for tests of the command line, and what a call of it returned."""

from collections.abc import Mapping
from typing import NamedTuple

# The smallest detector there is: timm's own test network, two narrow stages, ten proposals.
TINY = [
    "--model.backbone.name",
    "test_resnet",
    "--model.stages",
    "2",
    "--model.proposals",
    "10",
    "--model.stage.width",
    "32",
    "--model.stage.dynamic-width",
    "8",
    "--model.stage.feedforward-width",
    "32",
    "--augment.short-sides",
    "48",
    "--augment.max-size",
    "96",
    "--resize.short-side",
    "48",
    "--resize.max-size",
    "96",
    "--train.epochs",
    "2",
    "--train.batch-size",
    "2",
    "--train.workers",
    "0",
    "--device",
    "cpu",
]
# Ids with a gap, as COCO's own have, so that a label that slips out instead of an id is noticed.
CATEGORIES = [{"id": 3, "name": "dark"}, {"id": 17, "name": "bright"}]
HEIGHT, WIDTH = 48, 64


def tiny(other: Mapping[str, str]) -> list[str]:
    """Returns the flags of `TINY` with other values for some of them, because a flag can be given only once."""
    return [word for pair in {**dict(zip(TINY[::2], TINY[1::2], strict=True)), **other}.items() for word in pair]


ONE_EPOCH = tiny({"--train.epochs": "1"})


class Said(NamedTuple):
    """What a call returned and printed."""

    status: int
    out: str
    err: str
