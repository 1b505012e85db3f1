"""Ranks the predictions of the last stage as detections: the best pairs of query and class, or each query once.

Neither deletes anything. Where training was short, several queries may still claim one object; `lower_duplicates` ranks
all but the best of them lower.
"""

from uncrowd.boxes import pairwise_iou
from uncrowd.models.class_scores import ScoreKind, class_scores
from uncrowd.structures import Decoded, StageOutput


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
    """Returns the detections, best first, after their scores were lowered where a better one of their class overlaps.

    The factor is 1 - IoU ^ power for the better one that overlaps most. Unlike in Soft-NMS (arXiv:1704.04503) all
    scores are lowered at once, so that shapes and time depend on no score, as CUDA graphs and ONNX need. A high power
    spares neighbours, whose IoU is below that of a duplicate.
    """
    same_class = decoded.labels[:, :, None] == decoded.labels[:, None]
    overlap = (pairwise_iou(decoded.boxes, decoded.boxes) * same_class).tril(-1)  # [i, j]: of i with j, which is better
    return _best_first(decoded._replace(scores=decoded.scores * (1 - overlap.amax(dim=2) ** power)))


def _best_first(found: Decoded) -> Decoded:
    """Sorts detections by score; those with equal scores keep their order."""
    scores, order = found.scores.sort(dim=-1, descending=True, stable=True)
    boxes = found.boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return Decoded(boxes=boxes, scores=scores, labels=found.labels.gather(1, order))
