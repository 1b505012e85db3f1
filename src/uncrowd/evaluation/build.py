"""The evaluator of a protocol, and what the protocol demands of the data."""

from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator, require_one_class
from uncrowd.evaluation.protocol import Evaluator
from uncrowd.structures import Categories, ScoreProtocol


def build_evaluator(protocol: ScoreProtocol, max_dets: tuple[int, ...]) -> Evaluator:
    """Builds the evaluator of `protocol`.

    max_dets: COCO's limits on the detections of an image and class, ascending. CrowdHuman's protocol counts all
    detections and has no limits.
    """
    match protocol:
        case "coco":
            return CocoEvaluator(max_dets=max_dets)
        case "crowdhuman":
            return CrowdHumanEvaluator()


def require_scorable(protocol: ScoreProtocol, categories: Categories) -> None:
    """Raises InputError when `protocol` cannot score a dataset with these classes."""
    if protocol == "crowdhuman":
        require_one_class(categories)
