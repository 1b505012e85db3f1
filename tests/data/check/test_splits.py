"""Two splits share an image if its content is in both; records speak only where files cannot be read."""

from tests.data.check.checking import check_data
from tests.data.coco_files import annotation, content, image, write


def write_splits(tmp_path, train, val):
    for split, ids in (("train", train), ("val", val)):
        boxes = [annotation(n, id, category_id=(3, 7)[n % 2]) for n, id in enumerate(ids)]
        data = content(images=[image(id) for id in ids], annotations=boxes)
        write(tmp_path / f"annotations/instances_{split}.json", data, image_folder=tmp_path / split)


def shared(tmp_path):
    return [finding for finding in check_data(tmp_path) if finding.kind == "image in two splits"]


def test_splits_that_number_their_images_alike_share_none(tmp_path):
    write_splits(tmp_path, (1, 2), (1, 2))
    assert shared(tmp_path) == []


def test_the_same_content_under_any_name_is_shared(tmp_path):
    write_splits(tmp_path, (1, 2), (2, 3))
    (tmp_path / "val/3.png").write_bytes((tmp_path / "train/1.png").read_bytes())
    (finding,) = shared(tmp_path)
    assert list(finding.examples) == [f"{tmp_path / 'train/1.png'} and {tmp_path / 'val/3.png'}"]


def test_where_a_file_is_missing_the_record_speaks(tmp_path):
    write_splits(tmp_path, (1, 2), (1, 2))
    (tmp_path / "val/2.png").unlink()
    (finding,) = shared(tmp_path)
    assert list(finding.examples) == ["2.png: train and val"]
    assert "whose contents cannot be compared" in finding.sentence()
