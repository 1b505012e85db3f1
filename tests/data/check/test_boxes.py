"""A table of spoiled boxes and what `check` says of each."""

import pytest

from tests.data.check.checking import SOUND, check_parts, examples, kinds
from tests.data.coco_files import WIDTH, annotation


@pytest.mark.parametrize(
    ("wrong", "kind", "severity"),
    [
        (annotation(9, 1, (5, 5, 0, 4)), "degenerate box", "warning"),
        (annotation(9, 1, (5, 5, float("nan"), 4)), "not finite box", "warning"),
        (annotation(9, 1, (500, 5, 9, 9)), "box outside", "warning"),
        (annotation(9, 1, None), "no box", "warning"),
        (annotation(9, 1, (-2, 5, 30, 9)), "box partly outside", "note"),
        (annotation(9, 1, (5, 5, 30, 3)), "tiny box", "note"),
        (annotation(9, 1, (5, 5, 9, 9), iscrowd=1), "ignored box", "note"),
        (annotation(9, 1), "duplicate box", "warning"),
        (annotation(9, 1, category_id=5), "unknown class id", "error"),
        (annotation(9, 4), "unknown image id", "error"),
    ],
)
def test_boxes(tmp_path, wrong, kind, severity):
    findings = check_parts(tmp_path, annotations=[*SOUND, wrong])
    assert kinds(findings) == {kind: 1}
    finding = next(finding for finding in findings if finding.kind == kind)
    assert (finding.severity, finding.split, len(finding.examples)) == (severity, "train", 1)


def test_a_hair_s_breadth_past_the_edge_is_no_finding(tmp_path):
    assert kinds(check_parts(tmp_path, annotations=[*SOUND, annotation(9, 1, (-0.4, 5, WIDTH + 0.8, 9))])) == {}


def test_the_same_box_of_another_class_is_no_duplicate(tmp_path):
    assert kinds(check_parts(tmp_path, annotations=[*SOUND, annotation(9, 1, category_id=7)])) == {}


def test_images_and_classes_without_boxes(tmp_path):
    findings = check_parts(tmp_path, annotations=[annotation(1, 1), annotation(2, 2, category_id=7, iscrowd=1)])
    assert kinds(findings) == {"ignored box": 1, "image without boxes": 1, "class without boxes": 1}
    assert examples(findings)["class without boxes"] == ["dog"]
