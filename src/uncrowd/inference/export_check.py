"""Checks that an exported detector finds the same objects as its model.

Detections cannot be compared in ranked order, because rounding decides the order of two nearly equal scores. They are
matched one to one instead. How much rounding errors grow depends on the model: each stage pools at the boxes of the
previous one, so a model with little training, whose boxes diverge, amplifies them, and a few of its detections end up
anywhere. Therefore the exported detector and torch in single precision are both compared with the model in double
precision, and for nine of ten detections, the error of the exported detector may not be much larger than that of torch.
One in half precision, whose numbers have 11 bits, may not have a larger error than torch in bf16, whose numbers have 8.
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
from uncrowd.inference.exported import AnyDetector
from uncrowd.models.detector import Detector
from uncrowd.structures import Decoded

# (height, width) of the synthetic images of each batch, of one image or several, with boxes for every pyramid level.
BATCHES = [[(500, 620)], [(64, 64)], [(97, 130), (120, 90), (101, 151)]]
SHARE = 0.9
# The error of the exported detector may be FACTOR times torch's, plus PIXELS or SCORE.
FACTOR, PIXELS, SCORE = 10, 0.01, 1e-4


class Apart(NamedTuple):
    """Errors of detections: the bound that `SHARE` of them keep, and the largest of all.

    pixels: the error of a side of the box, clipped to the image. It is infinite for a pair of two classes.
    """

    pixels: float
    score: float
    most_pixels: float
    most_score: float


class Checked(NamedTuple):
    """Errors of the exported detector and of torch (in fp32 or bf16), against torch in double precision."""

    exported: Apart
    torch: Apart
    images: int


def check(exported: AnyDetector, model: Detector, *, half: bool = False) -> Checked:
    """Compares the exported detector with its model on a few synthetic images. half: whether it is in half precision.

    A model whose detections differ between torch's own precisions for more than one in ten always passes. Raises
    RuntimeError when the two find different objects, and NonFiniteError when the model's weights are damaged.
    """
    exact = deepcopy(model).double()
    ours, theirs = [], []
    for seed, sizes in enumerate(BATCHES):
        images, network_sizes = made_up(sizes, seed)
        expected = exact.detect(images, network_sizes)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            single = model.detect(images, network_sizes)
        if not all(torch.isfinite(values).all() for values in (*expected, *single)):
            raise NonFiniteError("the model predicts boxes or scores that are not finite; its weights are damaged")
        ours.append(differences(exported.detect(images, network_sizes), expected, network_sizes))
        theirs.append(differences(single, expected, network_sizes))
    checked = Checked(_apart(torch.cat(ours)), _apart(torch.cat(theirs)), sum(map(len, BATCHES)))
    factor = 1 if half else FACTOR
    if not (
        checked.exported.pixels <= factor * checked.torch.pixels + PIXELS
        and checked.exported.score <= factor * checked.torch.score + SCORE
    ):
        raise RuntimeError(f"the exported detector finds other objects than the model it was exported from: {checked}")
    return checked


def made_up(sizes: list[tuple[int, int]], seed: int) -> tuple[UInt8[Tensor, "b 3 h w"], Int64[Tensor, "b 2"]]:
    """Returns a batch of noise with structure at every scale, in the padding too, and the sizes of the images."""
    generator = torch.Generator().manual_seed(seed)
    network_sizes = torch.tensor(sizes)
    height, width = network_sizes.amax(dim=0).tolist()
    noise = [torch.rand(len(sizes), 3, cells, cells, generator=generator) for cells in (2, 8, 32)]
    images = torch.stack([F.interpolate(cells, (height, width), mode="bilinear") for cells in noise]).mean(dim=0)
    return (images * 255).to(torch.uint8), network_sizes


def differences(found: Decoded, expected: Decoded, sizes: Int64[Tensor, "b 2"]) -> Float[Tensor, "detections 2"]:
    """Returns the difference (pixels, score) of each detection from its match; the matching minimises their sum."""
    pairs = []
    for boxes, scores, labels, true_boxes, true_scores, true_labels, (height, width) in zip(
        *found, *expected, sizes.tolist(), strict=True
    ):
        between = clip(boxes.double(), height, width)[:, None] - clip(true_boxes.double(), height, width)
        pixels = between.abs().amax(dim=-1)
        score = (scores.double()[:, None] - true_scores.double()).abs()
        of_two_classes = labels[:, None] != true_labels
        apart = torch.stack([pixels, score], dim=-1).nan_to_num(nan=inf).masked_fill(of_two_classes[..., None], inf)
        # A score that is 0.001 off costs as much as a side that is one pixel off.
        cost = apart[..., 0] + 1000 * apart[..., 1]
        pairs.append(apart[linear_sum_assignment(cost.clamp(max=1e9))])
    return torch.cat(pairs)


def _apart(differences: Float[Tensor, "detections 2"]) -> Apart:
    pixels, score = differences.quantile(SHARE, dim=0, interpolation="higher").tolist()
    return Apart(pixels, score, *differences.amax(dim=0).tolist())
