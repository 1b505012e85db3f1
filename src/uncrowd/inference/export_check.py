"""Whether an exported detector finds what its model finds.

Detections cannot be compared in the order they are ranked in: of two with nearly one score, rounding decides which
comes first. So they are paired, one with one. And how far rounding carries depends on the model: a stage pools where
the last one pointed to, so that a model with little training, whose boxes run away, multiplies what single precision
leaves out, and a few of its detections end up anywhere. So both ONNX Runtime and torch itself are held to the model in
double precision, and for nine of ten detections the one may not be much further from it than the other.
"""

from copy import deepcopy
from math import inf
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from uncrowd.boxes import clip
from uncrowd.errors import NonFiniteError
from uncrowd.inference.onnx_detector import AnyDetector
from uncrowd.models.detector import Detector
from uncrowd.structures import Decoded

# (height, width) of the made-up images, batch by batch: alone and together, with boxes for each level of a pyramid.
BATCHES = [[(500, 620)], [(64, 64)], [(97, 130), (120, 90), (101, 151)]]
SHARE = 0.9
# How often torch's own difference ONNX Runtime's may be, and what is granted in any case.
FACTOR, PIXELS, SCORE = 10, 0.01, 1e-4


class Apart(NamedTuple):
    """How far detections are from what they should be: `SHARE` of them at most, and the furthest.

    pixels: of a side of the box, inside the image. An infinite one has a partner of another class, or none.
    """

    pixels: float
    score: float
    most_pixels: float
    most_score: float


class Checked(NamedTuple):
    """How far the exported detector, and torch in single precision, are from torch in double precision."""

    exported: Apart
    torch: Apart
    images: int


def check(exported: AnyDetector, model: Detector) -> Checked:
    """Compares the two on a few made-up images.

    Of a model so wild that torch itself loses more than one detection in ten it can say nothing, and lets all pass.
    Raises RuntimeError when they find different things, and NonFiniteError when the model's weights are damaged.
    """
    exact = deepcopy(model).double()
    ours, theirs = [], []
    for seed, sizes in enumerate(BATCHES):
        images, network_sizes = made_up(sizes, seed)
        expected, single = exact.detect(images, network_sizes), model.detect(images, network_sizes)
        if not all(torch.isfinite(values).all() for values in (*expected, *single)):
            raise NonFiniteError("the model predicts boxes or scores that are not finite; its weights are damaged")
        ours.append(differences(exported.detect(images, network_sizes), expected, network_sizes))
        theirs.append(differences(single, expected, network_sizes))
    checked = Checked(_apart(torch.cat(ours)), _apart(torch.cat(theirs)), sum(map(len, BATCHES)))
    if not (
        checked.exported.pixels <= FACTOR * checked.torch.pixels + PIXELS
        and checked.exported.score <= FACTOR * checked.torch.score + SCORE
    ):
        raise RuntimeError(f"the exported detector finds something else than the model it was made of: {checked}")
    return checked


def made_up(sizes: list[tuple[int, int]], seed: int) -> tuple[UInt8[Tensor, "b 3 h w"], Int64[Tensor, "b 2"]]:
    """A batch of images that have something at every scale, noise in the place of padding too; and their sizes."""
    generator = torch.Generator().manual_seed(seed)
    network_sizes = torch.tensor(sizes)
    height, width = network_sizes.amax(dim=0).tolist()
    noise = [torch.rand(len(sizes), 3, cells, cells, generator=generator) for cells in (2, 8, 32)]
    images = torch.stack([F.interpolate(cells, (height, width), mode="bilinear") for cells in noise]).mean(dim=0)
    return (images * 255).to(torch.uint8), network_sizes


def differences(found: Decoded, expected: Decoded, sizes: Int64[Tensor, "b 2"]) -> Float[Tensor, "detections 2"]:
    """In pixels and in score, of each detection from the one expected, paired so that they are least in all."""
    pairs = []
    for boxes, scores, labels, true_boxes, true_scores, true_labels, (height, width) in zip(
        *found, *expected, sizes.tolist(), strict=True
    ):
        between = clip(boxes.double(), height, width)[:, None] - clip(true_boxes.double(), height, width)
        pixels = between.abs().amax(dim=-1)
        score = (scores.double()[:, None] - true_scores.double()).abs()
        of_two_classes = labels[:, None] != true_labels
        apart = torch.stack([pixels, score], dim=-1).nan_to_num(nan=inf).masked_fill(of_two_classes[..., None], inf)
        cost = apart[..., 0] + 1000 * apart[..., 1]  # a thousandth of a score is as bad as a pixel
        pairs.append(apart[linear_sum_assignment(cost.clamp(max=1e9))])
    return torch.cat(pairs)


def _apart(differences: Float[Tensor, "detections 2"]) -> Apart:
    pixels, score = differences.quantile(SHARE, dim=0, interpolation="higher").tolist()
    return Apart(pixels, score, *differences.amax(dim=0).tolist())
