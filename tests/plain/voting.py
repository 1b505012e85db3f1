"""The box voting of test-time augmentation, one class, one group and one box at a time."""

from typing import NamedTuple

from tests.plain.iou import Box, iou


class Found(NamedTuple):
    box: Box
    score: float
    label: int


def vote(found: list[Found], least_iou: float, least_score: float, most: int | None) -> list[Found]:
    voted = []
    for label in {each.label for each in found}:
        left = sorted((each for each in found if each.label == label), key=lambda each: -each.score)
        while left:
            best, others = left[0], left[1:]
            group = [each for each in others if iou(best.box, each.box) >= least_iou]
            left = [each for each in others if each not in group]
            if not group:
                voted.append(best)
                continue
            voted.append(Found(mean_box([best, *group]), best.score, label))
            soft = [each._replace(score=each.score * (1 - iou(best.box, each.box))) for each in group]
            voted += [each for each in [best._replace(score=0.0), *soft] if each.score >= least_score]
    return sorted(voted, key=lambda each: -each.score)[:most]


def mean_box(group: list[Found]) -> Box:
    weight = sum(each.score for each in group)
    return [sum(each.score * each.box[i] for each in group) / weight for i in range(4)]
