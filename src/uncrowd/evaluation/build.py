"""Builds the evaluator of a scoring protocol and checks that the protocol can score a dataset."""

from uncrowd.evaluation.coco import CocoEvaluator
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator, require_one_class
from uncrowd.evaluation.protocol import Evaluator
from uncrowd.structures import Categories, ScoreProtocol


def build_evaluator(protocol: ScoreProtocol, max_dets: tuple[int, ...]) -> Evaluator:
    """Builds the evaluator of `protocol`.

    max_dets: COCO's limits on the number of detections per image and class, ascending. CrowdHuman's protocol counts
    all detections and ignores these limits.
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
