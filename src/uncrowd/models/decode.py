"""Ranks the predictions of the last stage as detections: the best pairs of query and class, or each query once.

Neither deletes anything. Where training was short, several queries may still claim one object; `lower_duplicates` ranks
all but the best of them lower.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from uncrowd.boxes import pairwise_iou
from uncrowd.models.class_scores import ScoreKind, class_scores
from uncrowd.ops.precision import without_autocast
from uncrowd.structures import Decoded, StageOutput

# See `lower_duplicates`; docs/results/queries.md has what they leave out.
ROUNDS, NEGLIGIBLE = 12, 0.99
# By this the score of a detection with the box of a better one is multiplied.
LEAST_FACTOR = 1e-12


def best_pairs(last: StageOutput, kind: ScoreKind) -> Decoded:
    """Returns the N best of N x C scores, best first; a box may appear with several labels."""
    classes = last.logits.shape[-1]
    scores, best = class_scores(last.logits, kind).flatten(1).topk(last.logits.shape[1], dim=1)
    boxes = last.boxes.gather(1, (best // classes)[..., None].expand(-1, -1, 4))
    return Decoded(boxes=boxes, scores=scores, labels=best % classes)


def each_query_once(last: StageOutput, kind: ScoreKind) -> Decoded:
    """Returns each of N queries with its best class, best first."""
    scores, labels = class_scores(last.logits, kind).max(dim=-1)
    return _best_first(Decoded(boxes=last.boxes, scores=scores, labels=labels))


def lower_duplicates(decoded: Decoded, power: float) -> Decoded:
    """Returns the detections, best first, after their scores were lowered where better ones of their class overlap.

    It follows Soft-NMS (arXiv:1704.04503): the best detection lowers all that it overlaps, by the factor
    1 - IoU ^ power; of the others, the one that is now the best does the same, and so on. A high power spares
    neighbours, whose IoU is below that of a duplicate, and a factor above `NEGLIGIBLE` lowers nothing. Detections that
    do not lower each other need not wait for each other, so in a round all settle that no better one can still lower.
    There are `ROUNDS` of them, whatever the scores are, as CUDA graphs and ONNX need; where they do not suffice, the
    last ones to settle are lowered too little.
    """
    with without_autocast(decoded.boxes.device):
        return _best_first(decoded._replace(scores=_lowered(decoded, power)))


def _lowered(decoded: Decoded, power: float) -> Float[Tensor, "b k"]:
    """Returns the scores of the k detections of each image in their old order. [b, i, j] below: what j does to i."""
    same_class = decoded.labels[:, :, None] == decoded.labels[:, None]
    factors = 1 - (pairwise_iou(decoded.boxes, decoded.boxes) * same_class) ** power
    lowering = factors <= NEGLIGIBLE
    # Logarithms make the product of factors a product of matrices, which is fast.
    logarithms = factors.clamp(min=LEAST_FACTOR).log() * lowering
    scores, settled = decoded.scores, torch.zeros_like(decoded.scores, dtype=torch.bool)
    before = torch.ones_like(same_class).tril(-1)  # [i, j]: j comes before i, which decides between equal scores
    for _ in range(ROUNDS):
        this, other = scores[:, :, None], scores[:, None]
        better = (other > this) | ((other == this) & before)
        waits = (better & lowering & ~settled[:, None]).any(dim=2)
        settles = ~(waits | settled)
        lowered = scores * (logarithms @ settles.to(logarithms.dtype)[:, :, None])[:, :, 0].exp()
        settled = settled | settles
        scores = torch.where(settled, scores, lowered)
    return scores


def _best_first(found: Decoded) -> Decoded:
    """Sorts detections by score; those with equal scores keep their order."""
    scores, order = found.scores.sort(dim=-1, descending=True, stable=True)
    boxes = found.boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return Decoded(boxes=boxes, scores=scores, labels=found.labels.gather(1, order))
