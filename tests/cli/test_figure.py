"""`uncrowd figure` draws what the model computes and what the files hold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import TINY_MODEL
from tests.visualize.colours import is_colour, rectangle_of
from uncrowd.data.transforms import ResizeConfig
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Categories
from uncrowd.visualize.attention import OTHERS, QUERY
from uncrowd.visualize.draw import GREY, label_colour
from uncrowd.weights.file import save_weights

# Boxes of the first stage, as centre and size in shares of the image: two that overlap on the left, one on the right.
PROPOSALS = torch.tensor([[0.3, 0.5, 0.2, 0.4], [0.35, 0.5, 0.2, 0.4], [0.8, 0.5, 0.2, 0.4]])
# Where they are drawn in an image of 64 x 48 that is enlarged ten times.
LEFT, RIGHT = (128, 144, 256, 336), (448, 144, 576, 336)


def saved(path: Path, **stage: Any) -> Path:
    """A detector of three queries whose first stage receives `PROPOSALS`, for images of 64 x 48."""
    torch.manual_seed(0)
    settings = TINY_MODEL
    settings = replace(settings, num_classes=2, proposals=3, stage=replace(settings.stage, **stage))
    model = SparseRCNN(settings)
    with torch.no_grad():
        model.proposal_boxes_cxcywh_norm.copy_(PROPOSALS)
    categories = Categories(ids=(3, 17), names=("dark", "bright"))
    save_weights(path, model, categories, ResizeConfig(short_side=48, max_size=64))
    return path


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / "ours.safetensors")


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    return saved(folder / "baseline.safetensors", attention="content", interaction="entangled")


@pytest.fixture
def image(shapes: Path) -> Path:
    return shapes / "images" / "val1.png"


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def of_query(uncrowd, kind: str, weights: Path, image: Path, out: Path, *flags: object) -> str:
    said = uncrowd("figure", kind, weights, image, "--out", out, "--device", "cpu", *flags)
    assert said.status == 0, said.err
    return said.out


def test_help_lists_the_figures(uncrowd):
    said = uncrowd("figure", "--help")
    assert said.status == 0
    assert all(kind in said.out for kind in ("attention", "masks", "curves", "compare"))
    assert uncrowd("figure").status == 2


def test_the_iou_keeps_attention_to_boxes_that_overlap(uncrowd, ours, image, tmp_path):
    out = of_query(uncrowd, "attention", ours, image, tmp_path / "a.png", "--query", 0, "--stage", 1)
    assert out.startswith("query 0 (")
    assert " at stage 1 of 2; before IoU: 90% on 3 of 3 queries; after IoU: 90% on 2 of 3 queries; " in out
    sheet = pixels(tmp_path / "a.png")
    bar = round(1.6 * (sheet.shape[0] / 25.6))  # a title is 1.6 times a 24th of the rest
    before, after = sheet[bar : bar + 480, :640], sheet[bar : bar + 480, -640:]
    for panel in (before, after):
        assert rectangle_of(is_colour(panel, QUERY)) == LEFT
    x1, y1, x2, y2 = RIGHT
    plain = np.asarray(Image.open(image).resize((640, 480), Image.Resampling.BICUBIC))
    assert (before[y1, x1:x2] != plain[y1, x1:x2]).all(axis=0).any()
    assert (after[y1:y2, x1:x2] == plain[y1:y2, x1:x2]).all()
    below = sheet[bar + 480 :]
    rows = below[:, :640], below[:, -640:]
    own, others = ([is_colour(row, colour).sum() for row in rows] for colour in (QUERY, OTHERS))
    assert own[0] < own[1]  # the third query's attention goes to the other two
    assert others[0] > others[1] > 0


def test_attention_without_iou_is_one_panel(uncrowd, baseline, image, tmp_path):
    out = of_query(uncrowd, "attention", baseline, image, tmp_path / "a.png", "--stage", 1)
    assert "self attention: 90% on 3 of 3 queries" in out
    assert "after" not in out
    assert pixels(tmp_path / "a.png").shape[1] == 640


def test_the_query_of_the_best_detection_and_the_last_stage_are_the_default(uncrowd, ours, image, tmp_path):
    of_one = {
        query: of_query(uncrowd, "attention", ours, image, tmp_path / f"{query}.png", "--query", query, "--stage", 2)
        for query in range(3)
    }
    score = {query: float(said.split(")")[0].split()[-1]) for query, said in of_one.items()}
    out = of_query(uncrowd, "attention", ours, image, tmp_path / "best.png")
    best = int(out.split()[1])
    assert score[best] == max(score.values())
    assert (pixels(tmp_path / "best.png") == pixels(tmp_path / f"{best}.png")).all()


def test_each_head_has_its_own_figure(uncrowd, ours, image, tmp_path):
    for head in (1, 2):
        of_query(uncrowd, "attention", ours, image, tmp_path / f"{head}.png", "--query", 0, "--head", head)
    assert (pixels(tmp_path / "1.png") != pixels(tmp_path / "2.png")).any()


def test_masks_draws_both_branches_inside_the_box(uncrowd, ours, image, tmp_path):
    of_query(uncrowd, "masks", ours, image, tmp_path / "m.png", "--query", 2, "--stage", 1)
    sheet = pixels(tmp_path / "m.png")
    gap = np.flatnonzero((sheet[100:-100] == 255).all(axis=(0, 2)))
    classes, boxes = sheet[:, : gap[0]], sheet[:, gap[-1] + 1 :]
    left, top, right, bottom = rectangle_of(is_colour(classes, QUERY))
    assert rectangle_of(is_colour(boxes, QUERY)) == (left, top, right, bottom)
    assert (right - left) / (bottom - top) == pytest.approx(12.8 / 19.2, abs=0.02)
    differing = (classes[:-100] != boxes[:-100]).any(axis=-1)  # without the scales
    differing[: top - 10] = False  # nor the titles
    assert differing[top:bottom, left:right].mean() > 0.3
    assert differing.sum() == differing[top:bottom, left:right].sum()


def test_models_without_masks_or_attention_are_refused(refused, baseline, image, tmp_path):
    assert "without dynamic channel weighting" in refused(
        "figure", "masks", baseline, image, "--out", tmp_path / "m.png"
    )
    none = saved(tmp_path / "none.safetensors", attention="none")
    assert "without self attention" in refused("figure", "attention", none, image, "--out", tmp_path / "a.png")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--query", 3), "--query is 3; this model has 0 to 2"),
        (("--query", -1), "--query is -1; this model has 0 to 2"),
        (("--stage", 0), "--stage is 0; this model has 1 to 2"),
        (("--stage", 3), "--stage is 3; this model has 1 to 2"),
        (("--head", 5), "--head is 5; this model has 1 to 4"),
        (("--out", "a.gif"), "a.gif is not the name of a PNG or JPEG file"),
        (("--out", "nowhere/a.png"), "--out names a file in a folder that exists"),
    ],
)
def test_numbers_and_files_that_do_not_exist_are_refused(refused, ours, image, tmp_path, flags, sentence):
    argv = ("--out", tmp_path / "a.png") if "--out" not in flags else ()
    assert sentence in refused("figure", "attention", ours, image, *argv, *flags)


def test_the_image_is_not_overwritten(refused, ours, image, tmp_path):
    copy = tmp_path / "1.png"
    copy.write_bytes(image.read_bytes())
    assert "would be overwritten" in refused("figure", "masks", ours, copy, "--out", copy)
    assert copy.read_bytes() == image.read_bytes()


def test_an_unknown_figure_is_refused(refused):
    assert "There is no figure 'histogram'; give one of attention, masks, curves, compare" in refused(
        "figure", "histogram"
    )


def recorded(folder: Path, scores: dict[int, float | None], name: str = "AP") -> Path:
    folder.mkdir()
    rows = [{"kind": "train", "step": 1, "epoch": 0.5, "loss": 3.0}]
    rows += [{"kind": "eval", "step": n, "epoch": n, name: score, "time": 1.5} for n, score in scores.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_curves_end_where_the_runs_ended(uncrowd, tmp_path):
    runs = recorded(tmp_path / "a", {12: 0.25, 24: 0.375}), recorded(tmp_path / "b", {6: 0.125, 12: None})
    said = uncrowd("figure", "curves", *runs, "--out", tmp_path / "c.jpg")
    assert said.status == 0, said.err
    assert said.out.splitlines() == [
        "a: AP 37.5 after epoch 24",
        "b: AP 12.5 after epoch 6",
        f"written to {tmp_path / 'c.jpg'}",
    ]
    with Image.open(tmp_path / "c.jpg") as figure:
        assert figure.format == "JPEG"
        assert np.asarray(figure).std() > 1
    named = uncrowd("figure", "curves", *runs, "--names", "ours", "theirs", "--out", tmp_path / "c.png")
    assert named.out.startswith("ours: AP 37.5")


def test_runs_that_cannot_be_plotted_are_refused(refused, tmp_path):
    out = ("--out", tmp_path / "c.png")
    run = recorded(tmp_path / "run", {1: 0.25}, name="mMR")
    empty = recorded(tmp_path / "empty", {})
    assert "Name the folders of runs" in refused("figure", "curves", *out)
    assert "empty has no scores" in refused("figure", "curves", empty, *out)
    assert "nowhere is not a folder" in refused("figure", "curves", tmp_path / "nowhere", *out)
    assert "has no score 'AP' in metrics.jsonl; choose with --score from mMR." in refused("figure", "curves", run, *out)
    assert "--names has 1 names for 2 runs" in refused("figure", "curves", run, run, "--names", "a", *out)


@pytest.fixture
def crowded(shapes: Path, tmp_path: Path) -> Path:
    """The validation images; the third has the most boxes, one of them ignored."""
    content = json.loads((shapes / "instances_val.json").read_text())
    last, before = content["annotations"][-1], content["annotations"][-2]
    assert last["image_id"] == before["image_id"] == 3
    content["annotations"] += [
        last | {"id": 97, "bbox": [2, 2, 10, 20], "area": 200},
        last | {"id": 98, "bbox": [40, 30, 20, 10], "iscrowd": 1},
    ]
    for image in content["images"]:
        image["file_name"] = str(shapes / "images" / image["file_name"])
    (tmp_path / "instances_val.json").write_text(json.dumps(content))
    return tmp_path / "instances_val.json"


def detections(path: Path, truth: Path, score: float) -> Path:
    """Writes all objects of the ground truth as detections with that score."""
    found = [
        {key: record[key] for key in ("image_id", "category_id", "bbox")} | {"score": score}
        for record in json.loads(truth.read_text())["annotations"]
        if not record["iscrowd"]
    ]
    path.write_text(json.dumps(found))
    return path


def test_methods_stand_beside_the_ground_truth(uncrowd, crowded, tmp_path):
    good, weak = (detections(tmp_path / f"{score}.json", crowded, score) for score in (0.9, 0.2))
    argv = ("--data", crowded, "--count", 1, "--names", "good", "weak", "--out", tmp_path / "c.png")
    said = uncrowd("figure", "compare", good, weak, *argv)
    assert said.status == 0, said.err
    assert said.out.startswith("images 3 (those with the most boxes); scores of 0.3 or more; ")
    sheet = pixels(tmp_path / "c.png")
    assert sheet.shape[1] == 3 * 720 + 2 * 12
    first, second, truth = (sheet[-540:, left : left + 720] for left in (0, 732, 1464))
    # the box of class 17 at (2, 2), 10 x 20, in an image of 64 x 48 that is 720 wide
    for panel in (first, truth):
        line = is_colour(panel, label_colour(1))
        assert line[24:246, 23].mean() > 0.9
        assert line[24:246, 134].mean() > 0.9
    assert not is_colour(second, label_colour(1)).any()
    # the crowd at (40, 30), 20 x 10
    for line in (np.s_[338, 450:675], np.s_[449, 450:675], np.s_[338:450, 450], np.s_[338:450, 674]):
        assert 0.3 < is_colour(truth, GREY)[line].mean() < 0.7
        assert is_colour(first, GREY)[line].mean() < 0.1


def test_classes_are_kept_and_merged_on_both_sides(uncrowd, crowded, tmp_path):
    """By a flag, or as the run says to which the detections belong; the box of class 17 gets the first colour then."""
    found = detections(tmp_path / "found.json", crowded, 0.9)
    argv = ("figure", "compare", found, found, "--data", crowded, "--count", 1, "--out", tmp_path / "c.png")
    assert uncrowd(*argv, "--classes", "shape=dark,bright").status == 0
    merged = pixels(tmp_path / "c.png")
    for left in (0, 732, 1464):
        assert is_colour(merged[-540:, left : left + 720], label_colour(0))[24:246, 23].mean() > 0.9
    (tmp_path / "config.json").write_text('{"classes": {"shape": ["dark", "bright"]}}')
    assert uncrowd(*argv).status == 0
    np.testing.assert_array_equal(pixels(tmp_path / "c.png"), merged)


def test_images_are_chosen_by_id_and_methods_may_be_of_any_kind(uncrowd, shapes, ours, crowded, tmp_path):
    all_of_it = detections(tmp_path / "found.json", crowded, 0.5)
    argv = ("--data", crowded, "--images", 2, 1, "--out", tmp_path / "c.png", "--threshold", 0, "--device", "cpu")
    said = uncrowd("figure", "compare", ours, all_of_it, *argv)
    assert said.status == 0, said.err
    assert said.out.startswith("images 2, 1; ")
    sheet = pixels(tmp_path / "c.png")
    assert sheet.shape[0] > 2 * 540
    theirs, truth = sheet[-540:, 732:1452], sheet[-540:, 1464:]
    assert is_colour(sheet[-540:, :720], label_colour(0)).any() or is_colour(sheet[-540:, :720], label_colour(1)).any()
    bare = np.asarray(Image.open(shapes / "images/val1.png").resize((720, 540), Image.Resampling.LANCZOS))
    assert (theirs[bare.mean(axis=-1) == 128] == 128).mean() > 0.5  # the second row is image 1
    assert (is_colour(theirs, label_colour(0)) & is_colour(truth, label_colour(0))).any()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--images", 1, 44), "has no image with the id 44; its ids are 1, 2, 3.\n"),
        (("--count", 0), "--count is 0; give 1 or more"),
        (("--threshold", 2), "scores are between 0 and 1"),
        (("--names", "one"), "--names has 1 names"),
        (("--split", "test"), "has no test split; it has"),
    ],
)
def test_unusable_flags_are_refused(refused, shapes, tmp_path, flags, sentence):
    found = detections(tmp_path / "found.json", shapes / "instances_val.json", 0.5)
    argv = (found, found, "--data", shapes, "--out", tmp_path / "c.png", *flags)
    assert sentence in refused("figure", "compare", *argv)


def test_methods_that_cannot_be_compared_are_refused(refused, shapes, ours, crowd, tmp_path):
    found = detections(tmp_path / "found.json", shapes / "instances_val.json", 0.5)
    out = ("--out", tmp_path / "c.png")
    nowhere = tmp_path / "nowhere.json"
    assert "nowhere.json does not exist" in refused("figure", "compare", found, nowhere, "--data", shapes, *out)
    text = tmp_path / "found.txt"
    text.write_text("dark 0.9 1 2 3 4")
    assert "found.txt is neither a weights file" in refused("figure", "compare", found, text, "--data", shapes, *out)
    other = refused("figure", "compare", ours, ours, "--data", crowd, *out)
    assert "knows 2 classes (dark, bright), " in other
    assert "(person, dog, sports ball)" in other
