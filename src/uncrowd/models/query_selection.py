"""Which points of the dense head become queries: those of the best scores, where overlap lowers the rank.

The number of queries is chosen at inference, and each starts at a box of its own (DDQ, arXiv:2303.12776).

Greedy NMS would delete the true neighbour of a better object, and its number of survivors depends on the data. Here
every candidate keeps a rank, so a hidden object falls behind and more queries reach it, and all shapes depend on shapes
alone, as CUDA graphs, torch.compile and ONNX need.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from uncrowd.boxes import pairwise_iou
from uncrowd.models.dense_head import DenseHeadConfig
from uncrowd.structures import StageOutput


class FirstQueries(NamedTuple):
    """What the first stage starts from. selected: what the dense head predicts at the points that were selected."""

    selected: StageOutput
    queries: Float[Tensor, "b n d"]


class QuerySelection(nn.Module):
    """Turns the best points of an image into queries."""

    def __init__(self, config: DenseHeadConfig, width: int):
        super().__init__()
        self.config = config
        self.to_query = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))

    def forward(self, points: StageOutput, number: int, groups: int = 1) -> FirstQueries:
        """Returns the best `number` points of each image as queries, best first; all points if there are fewer.

        points: predictions at all points, with their features as `queries`. Scores carry no gradient back to them, and
        features and boxes only if they are not detached: then the dense head learns from the stages too.
        groups: how many times points are chosen for each image; its groups follow one another, see `varied`.
        """
        logits = points.logits.detach()
        boxes = points.boxes.detach() if self.config.detach_boxes else points.boxes
        features = points.queries.detach() if self.config.detach_queries else points.queries
        scores, of_group = varied(logits.amax(dim=-1).sigmoid(), groups), boxes.repeat_interleave(groups, dim=0)
        best = best_points(scores, of_group, number, self.config.competing(number))
        selected = StageOutput(*(_at(best, tensor) for tensor in (logits, boxes, features)))
        return FirstQueries(selected, self.to_query(selected.queries))


def varied(scores: Float[Tensor, "b p"], groups: int) -> Float[Tensor, "groups_of_all p"]:
    """Returns the scores of each image for each of its groups, one after another.

    The first group of an image has them as they are, and chooses what evaluation would. In the others each score is
    multiplied by a random number from 0 to 1, so that the queries of an object start at other points. No point is left
    out, so an object that has only one can still be chosen.
    """
    others = (scores * torch.rand_like(scores) for _ in range(groups - 1))
    return torch.stack([scores, *others], dim=1).flatten(0, 1)


def _at(points: Int64[Tensor, "groups_of_all n"], values: Float[Tensor, "b p d"]) -> Float[Tensor, "groups_of_all n d"]:
    """Returns the values at the points that each group chose, without a copy of all values for each."""
    of_image = points.reshape(values.shape[0], -1, 1).expand(-1, -1, values.shape[-1])
    return values.gather(1, of_image).reshape(*points.shape, -1)


@torch.no_grad()
def best_points(
    scores: Float[Tensor, "b p"], boxes: Float[Tensor, "b p 4"], number: int, candidates: int | torch.SymInt
) -> Int64[Tensor, "b n"]:
    """Returns the indices of `number` points of each image, best first, or of all candidates if these are fewer.

    The `candidates` points of the best scores compete; there are at least `number`. boxes: in network pixels.
    """
    # torch.export compares symbolic sizes only in this form.
    competing = torch.sym_min(torch.sym_max(number, candidates), scores.shape[1])
    scores, candidate = scores.topk(competing, dim=1)
    rank = lowered_by_overlap(scores, boxes.gather(1, candidate[..., None].expand(-1, -1, 4)))
    best = rank.topk(torch.sym_min(number, rank.shape[1]), dim=1).indices
    return candidate.gather(1, best)


def lowered_by_overlap(scores: Float[Tensor, "b k"], boxes: Float[Tensor, "b k 4"]) -> Float[Tensor, "b k"]:
    """Returns the scores, which descend, lowered where boxes overlap better ones: linear Matrix NMS (arXiv:2003.10152).

    A box is lowered by the factor 1 - IoU for the better box that lowers it most; one that is itself lowered counts
    less, because it may be a duplicate.
    """
    overlap = pairwise_iou(boxes, boxes).tril(-1)  # [i, j]: of i with j, which is better; rows are faster to reduce
    own = 1 - overlap.amax(dim=2)  # how much each box is left by all better ones
    # Identical boxes would divide by 0.
    left = (1 - overlap) / own.clamp(min=1e-6)[:, None, :]
    return scores * left.amin(dim=2).clamp(max=1)
