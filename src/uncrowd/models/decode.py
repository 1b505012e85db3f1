"""Ranks the predictions of the last stage as detections: the best pairs of query and class, or each query once."""

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
    scores, order = scores.sort(dim=-1, descending=True, stable=True)
    boxes = last.boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return Decoded(boxes=boxes, scores=scores, labels=labels.gather(1, order))
