"""Drawn scenes have exact boxes and the overlap that was asked for, and are written as a COCO dataset."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from uncrowd.data.synthetic.scenes import CATEGORIES, SceneConfig, draw_scene, mean_best_iou, write_dataset
from uncrowd.errors import InputError

SMALL = SceneConfig(size=(96, 128), objects=(5, 9))


def test_the_same_seed_draws_the_same_scene():
    first, second = draw_scene(SMALL, 3), draw_scene(SMALL, 3)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_another_seed_draws_another_scene():
    assert (draw_scene(SMALL, 3).image != draw_scene(SMALL, 4).image).mean() > 0.5


def test_another_texture_family_has_other_grounds():
    plain = SceneConfig(size=(64, 64), objects=(0, 0))
    ground_colours = [
        {
            tuple(draw_scene(replace(plain, textures=family), seed).image[40:].mean(axis=(0, 1)).round())
            for seed in range(9)
        }
        for family in (0, 1)
    ]
    assert len(ground_colours[0]) > 3
    assert not ground_colours[0] & ground_colours[1]


@pytest.mark.parametrize("size", [(97, 131), (131, 97), (480, 640)])
@pytest.mark.parametrize("seed", range(4))
def test_a_box_is_the_tight_box_of_its_silhouette(size: tuple[int, int], seed: int):
    # The ground does not depend on the objects, so the object is where the two images differ.
    alone = SceneConfig(size=size, objects=(1, 1))
    scene = draw_scene(alone, seed)
    ground = draw_scene(replace(alone, objects=(0, 0)), seed).image
    rows, columns = np.nonzero((scene.image != ground).any(axis=2))
    drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert scene.image.shape == (*size, 3)
    assert scene.visible.tolist() == [1.0]
    np.testing.assert_allclose(scene.boxes[0], drawn, atol=1)


@pytest.mark.parametrize("overlap", [0.1, 0.3, 0.45])
def test_scenes_have_the_overlap_and_the_number_of_objects_asked_for(overlap: float):
    config = SceneConfig(size=(120, 160), overlap=overlap, objects=(8, 14))
    scenes = [draw_scene(config, seed) for seed in range(20)]
    assert mean_best_iou([scene.boxes for scene in scenes]) == pytest.approx(overlap, abs=0.05)
    assert np.mean([len(scene.boxes) for scene in scenes]) == pytest.approx(11, abs=1)
    assert {label for scene in scenes for label in scene.labels} == {0, 1, 2}


def test_half_the_scale_on_twice_the_canvas_keeps_the_size_of_objects():
    small = replace(SMALL, classes=("person",), objects=(1, 1))
    heights = [
        np.mean([np.diff(draw_scene(config, seed).boxes[0, 1::2]) for seed in range(16)])
        for config in (small, replace(small, size=(192, 256), scale=0.5), replace(small, size=(192, 256)))
    ]
    assert heights[1] == pytest.approx(heights[0], rel=0.15)
    assert heights[2] == pytest.approx(2 * heights[0], rel=0.15)


def test_objects_that_have_room_do_not_overlap():
    config = replace(SMALL, size=(192, 256), scale=0.5, overlap=0.0)
    assert mean_best_iou([draw_scene(config, seed).boxes for seed in range(8)]) < 0.01


def test_mean_best_iou_averages_each_objects_largest_iou_in_its_image():
    square = [0.0, 0.0, 10.0, 10.0]
    half = [0.0, 0.0, 10.0, 5.0]
    far = [50.0, 50.0, 60.0, 60.0]
    assert mean_best_iou([np.array([square, half, far])]) == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert mean_best_iou([np.array([square, square]), np.array([square])]) == pytest.approx(2 / 3)
    assert mean_best_iou([]) == 0
    assert mean_best_iou([np.zeros((0, 4))]) == 0


def test_a_hidden_object_keeps_its_full_box():
    # Five more objects do not move the first four: their boxes stay, however much of them gets hidden.
    config = replace(SMALL, overlap=0.45)
    hidden = []
    for seed in range(4):
        before = draw_scene(replace(config, objects=(4, 4)), seed)
        after = draw_scene(replace(config, objects=(9, 9)), seed)
        places = [np.flatnonzero((after.boxes == box).all(axis=1)).item() for box in before.boxes]
        hidden.append(before.visible - after.visible[places])
    assert np.min(hidden) >= 0
    assert np.max(hidden) > 0.3


def test_every_object_is_partly_visible():
    config = replace(SMALL, overlap=0.45, min_visible=0.3)
    visible = np.concatenate([draw_scene(config, seed).visible for seed in range(5)])
    assert 0.3 <= visible.min() < 0.6


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_inside_the_image(seed: int):
    boxes = draw_scene(replace(SMALL, size=(97, 131)), seed).boxes
    assert (boxes >= 0).all()
    assert (boxes <= (131, 97, 131, 97)).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 2).all()


def test_a_written_dataset_reads_as_coco(tmp_path):
    annotation_file = write_dataset(tmp_path, "val", SMALL, images=3, seed=5)
    assert annotation_file == tmp_path / "annotations" / "instances_val.json"
    coco = COCO(str(annotation_file))
    assert coco.getCatIds() == [1, 18, 37]
    assert sorted(path.name for path in (tmp_path / "val").iterdir()) == ["000001.jpg", "000002.jpg", "000003.jpg"]
    for index, record in enumerate(coco.loadImgs(coco.getImgIds())):
        scene = draw_scene(SMALL, (5, index))
        with Image.open(tmp_path / "val" / record["file_name"]) as image:
            assert image.size == (record["width"], record["height"]) == (128, 96)
            assert np.abs(np.asarray(image, dtype=float) - scene.image).mean() < 8
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=record["id"]))
        boxes_xywh = np.array([annotation["bbox"] for annotation in annotations])
        boxes = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
        np.testing.assert_allclose(boxes, scene.boxes, atol=0.02)
        assert [annotation["category_id"] for annotation in annotations] == [CATEGORIES.ids[i] for i in scene.labels]
        assert all(annotation["area"] > 0 and annotation["iscrowd"] == 0 for annotation in annotations)


def test_a_dataset_of_one_class_has_no_other(tmp_path):
    annotation_file = write_dataset(tmp_path, "train", replace(SMALL, classes=("dog",)), images=2, seed=0)
    content = json.loads(annotation_file.read_text())
    assert content["categories"] == [{"id": 18, "name": "dog"}]
    assert {annotation["category_id"] for annotation in content["annotations"]} == {18}


def test_the_same_arguments_write_the_same_bytes(tmp_path):
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_dataset(folder, "train", SMALL, images=2, seed=1)
        files.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")})
    assert len(files[0]) == 3
    assert files[0] == files[1]


def test_images_without_objects_are_listed(tmp_path):
    annotation_file = write_dataset(tmp_path, "empty", replace(SMALL, objects=(0, 0)), images=1, seed=0)
    content = json.loads(annotation_file.read_text())
    assert len(content["images"]) == 1
    assert content["annotations"] == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("in the way")
    with pytest.raises(InputError, match=r"file cannot be written to .*give another folder"):
        write_dataset(not_a_folder, "train", SMALL, images=1, seed=0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"size": (20, 256)}, "too small"),
        ({"objects": (5, 2)}, "the fewest, then the most"),
        ({"textures": -1}, "use 0 or more"),
        ({"overlap": 0.9}, "overlap is 0.9; use 0 to 0.5"),
        ({"min_visible": 1.0}, "min_visible is 1.0; use 0 to 0.5"),
        ({"scale": 0.1}, "scale is 0.1; use 0.17 to 1"),
        ({"scale": 1.5}, "scale is 1.5; use 0.17 to 1"),
        ({"classes": ("cat",)}, "use one or more of person, dog, sports ball"),
        ({"classes": ()}, "use one or more of person, dog, sports ball"),
    ],
)
def test_scenes_that_cannot_be_drawn_are_refused(values: dict, reason: str):
    with pytest.raises(InputError, match=reason):
        SceneConfig(**values)
