"""The rows of the paper's tables, and how they are shown beside the measured scores of a run."""

import json
from dataclasses import replace

import pytest

from tests.tiny import tiny_experiment
from uncrowd.evaluation.protocol import Scores
from uncrowd.paper.expected import beside_paper, changed_settings, expected_in_words
from uncrowd.paper.rows import PAPER, rows_of
from uncrowd.recipes import EXPERIMENTS
from uncrowd.recipes.coco import coco_r50_100
from uncrowd.recipes.crowdhuman import crowdhuman_r50_500_sparse_rcnn

COCO_NAMES, CROWDHUMAN_NAMES = {"AP", "AP50", "AP75", "APs", "APm", "APl"}, {"AP", "mMR", "Recall"}


def coco_scores(**values: float | None) -> Scores:
    return Scores(headline="AP", values={"AP": 0.4, "AP50": 0.6, "AR@100": 0.5, **values}, per_class={})


def test_every_row_reports_a_recipe_and_every_recipe_has_a_row() -> None:
    assert {row.experiment for row in PAPER} == set(EXPERIMENTS) - {"small-data", "crowd"}


def test_no_row_occurs_twice() -> None:
    places = [(row.table, row.row) for row in PAPER]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("row", PAPER, ids=lambda row: f"{row.table}: {row.row}")
def test_scores_are_those_of_the_protocol_in_percent(row) -> None:
    known = COCO_NAMES if EXPERIMENTS[row.experiment]().protocol == "coco" else CROWDHUMAN_NAMES
    assert row.scores.keys() <= known
    assert all(1 < score < 100 for score in row.scores.values() if score is not None)
    assert json.loads(json.dumps(row._asdict())) == row._asdict()


def test_scores_of_a_row_are_in_order() -> None:
    """AP50 is above AP75, and small objects are hardest; swapped cells would break this."""
    for row in PAPER:
        score = {name: value for name, value in row.scores.items() if value is not None}
        assert score.get("AP50", 100) > score.get("AP", 50) > score.get("APs", 0), row
        assert score.get("AP50", 100) > score.get("AP75", 50), row
        assert score.get("APl", 100) > score.get("APm", 50) > score.get("APs", 0), row


def test_the_full_method_gains_what_the_papers_text_says() -> None:
    """Section 4.2: 1.6 AP on COCO; 1.7 AP, -1.1 mMR and 1.0 recall on CrowdHuman. Appendix C: 0.5 AP."""

    def scores(table: str, row: str) -> dict[str, float | None]:
        return next(r.scores for r in PAPER if (r.table, r.row) == (table, row))

    def gains(table: str, ours: str, baseline: str) -> list[float]:
        pairs = zip(scores(table, ours).values(), scores(table, baseline).values(), strict=True)
        return [round(a - b, 1) for a, b in pairs if a is not None and b is not None]

    assert gains("Table 6", "ours, Res-50", "Sparse R-CNN, Res-50")[0] == 1.6
    assert gains("Table 5", "ours", "Sparse R-CNN") == [1.7, -1.1, 1.0]
    assert gains("Table 10", "DETR + ours", "DETR") == [0.5, 1.3]


def test_tables_that_disagree_are_both_listed() -> None:
    rows = rows_of("crowdhuman-r50-500-sparse-rcnn")
    assert {(row.scores["AP"], row.scores["mMR"]) for row in rows} == {(None, 48.3), (89.2, 48.3), (88.8, 49.9)}
    words = expected_in_words(crowdhuman_r50_500_sparse_rcnn())
    assert words is not None
    assert "AP 89.2, mMR 48.3, Recall 95.9 (Table 5: Sparse R-CNN)" in words.splitlines()
    assert "AP 88.8, mMR 49.9, Recall 95.8 (Table 8: MSA)" in words.splitlines()


def test_scores_on_test_dev_are_not_expected_of_a_run() -> None:
    words = expected_in_words(EXPERIMENTS["coco-r101-300"]())
    assert words == "AP 47.5, AP50 66.8, AP75 51.8, APs 30.4, APm 50.7, APl 62.5 (Table 6: ours*, Res-101)"
    assert expected_in_words(EXPERIMENTS["coco-resnext101-300-sparse-rcnn"]()) is None


def test_measured_scores_stand_beside_the_papers() -> None:
    said = beside_paper(coco_r50_100(), coco_scores(AP50=None), 5000, None)
    assert said is not None
    assert [line.split() for line in said.splitlines()] == [
        ["AP", "AP50"],
        ["measured", "40.0", "-"],
        ["expected", "by", "the", "paper", "(Table", "4)", "-", "63.4"],
        ["expected", "by", "the", "paper", "(Table", "6)", "44.4", "63.4"],
    ]


def test_each_difference_from_the_papers_run_is_noted() -> None:
    experiment = coco_r50_100()
    altered = replace(experiment, train=replace(experiment.train, batch_size=8, seed=3, workers=9, accumulate=2))
    assert changed_settings(experiment) == []
    assert changed_settings(altered) == ["train.batch_size is 8, not 16"]
    said = beside_paper(altered, coco_scores(), 120, "other.safetensors")
    assert said is not None
    assert said.splitlines()[-3:] == [
        "NOTE: compare with care, because the paper scores the 5000 images of COCO's val2017, this run 120 images",
        "NOTE: compare with care, because the settings differ from the paper's: train.batch_size is 8, not 16",
        "NOTE: compare with care, because the run began with the weights of other.safetensors",
    ]


def test_the_paper_expects_nothing_of_other_recipes() -> None:
    assert expected_in_words(tiny_experiment()) is None
    assert beside_paper(tiny_experiment(), coco_scores(), 6, None) is None
