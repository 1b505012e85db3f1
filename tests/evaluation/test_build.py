"""The protocol decides how detections are scored, and which datasets can be scored."""

import pytest

from uncrowd.errors import InputError
from uncrowd.evaluation.build import build_evaluator, require_scorable
from uncrowd.evaluation.coco import CocoEvaluator, limits_up_to
from uncrowd.evaluation.crowdhuman import CrowdHumanEvaluator
from uncrowd.structures import Categories, ScoreProtocol

PERSON = Categories(ids=(1,), names=("person",))
PETS = Categories(ids=(1, 2), names=("cat", "dog"))


@pytest.mark.parametrize(
    ("protocol", "proposals", "evaluator"),
    [
        ("coco", 100, CocoEvaluator(max_dets=(1, 10, 100))),
        ("coco", 300, CocoEvaluator(max_dets=(1, 10, 100, 300))),
        ("crowdhuman", 500, CrowdHumanEvaluator()),
    ],
)
def test_the_protocol_decides_the_evaluator(
    protocol: ScoreProtocol, proposals: int, evaluator: CocoEvaluator | CrowdHumanEvaluator
) -> None:
    """With more than 100 proposals, COCO's evaluator also scores all of them."""
    assert build_evaluator(protocol, limits_up_to(proposals)) == evaluator


def test_crowdhumans_protocol_scores_one_class() -> None:
    require_scorable("crowdhuman", PERSON)
    require_scorable("coco", PETS)
    with pytest.raises(InputError, match=r"CrowdHuman's protocol scores one class, but the dataset has 2 \(cat, dog\)"):
        require_scorable("crowdhuman", PETS)
