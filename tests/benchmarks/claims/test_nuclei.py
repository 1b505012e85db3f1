"""Composed crowds have exact boxes that overlap as asked for, and the splits share no source image."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.claims.datasets import BCCD
from benchmarks.claims.nuclei import ComposedNuclei, Source, compose_crowd, read_source
from benchmarks.claims.nuclei_images import TEST_NAMES
from hotcoco import mask as masks
from PIL import Image

from uncrowd.boxes import pairwise_iou
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError

CONFIG = ComposedNuclei(size=(64, 96), objects=(6, 9), train=3, val=2, test=2)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of bright ellipses on a dark ground; those of each file have a brightness of their own."""
    folder = tmp_path_factory.mktemp("real") / "nuclei"
    (folder / "images").mkdir(parents=True)
    (test_name, *_) = TEST_NAMES.read_text().split()
    for split, names in {"train": ["a.jpg", test_name, "b.jpg"], "val": ["c.jpg"]}.items():
        images, annotations, encoded = [], [], {}
        for number, name in enumerate(names):
            light = {"a.jpg": 100, "b.jpg": 100, "c.jpg": 150}.get(name, 200)
            pixels = np.full((60, 80, 3), 20, dtype=np.uint8)
            y, x = np.mgrid[:60, :80]
            for column in range(5):
                mask = ((x - 8 - 15 * column) / 6) ** 2 + ((y - 30) / (8 + column)) ** 2 <= 1
                pixels[mask] = light
                annotations.append({"id": len(annotations), "image_id": number})
                encoded[str(len(encoded))] = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
            Image.fromarray(pixels).save(folder / "images" / name, format="png")
            images.append({"id": number, "file_name": name})
        (folder / f"instances_{split}.json").write_text(json.dumps({"images": images, "annotations": annotations}))
        texts = {id: {**rle, "counts": rle["counts"].decode()} for id, rle in encoded.items()}
        (folder / f"masks_{split}.json.gz").write_bytes(gzip.compress(json.dumps(texts).encode()))
    return folder.parent


def brightness(sources: list[Source]) -> set[float]:
    return {float(cutout.rgb.max()) for source in sources for cutout in source.cutouts}


def test_the_splits_share_no_source_image(real: Path) -> None:
    found = {split: read_source(real / "nuclei", split) for split in ("train", "val", "test")}
    assert {split: len(sources) for split, sources in found.items()} == {"train": 2, "val": 1, "test": 1}
    assert [brightness(sources) for sources in found.values()] == [{100.0}, {150.0}, {200.0}]
    assert all(np.all(source.ground == 20) for sources in found.values() for source in sources)


def test_boxes_are_those_of_the_nuclei_and_overlap_up_to_the_limit(real: Path) -> None:
    (source, *_) = read_source(real / "nuclei", "train")
    largest = 0.0
    for seed in range(8):
        image, boxes = compose_crowd(CONFIG, source, np.random.default_rng(seed))
        assert image.shape == (64, 96, 3)
        inside = np.zeros(image.shape[:2], dtype=bool)
        for x1, y1, x2, y2 in boxes.astype(int):
            inside[y1:y2, x1:x2] = True
        lit = image[..., 0] > 21
        assert not lit[~inside].any()
        rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
        assert (columns[0], rows[0]) == tuple(boxes[:, :2].min(axis=0))
        assert (columns[-1] + 1, rows[-1] + 1) == tuple(boxes[:, 2:].max(axis=0))
        ious = pairwise_iou(torch.from_numpy(boxes), torch.from_numpy(boxes)).fill_diagonal_(0)
        largest = max(largest, ious.max().item())
    assert 0.5 < largest <= CONFIG.overlap


def test_a_composed_dataset_is_read_as_coco(real: Path, tmp_path: Path) -> None:
    splits = open_dataset(CONFIG.write(tmp_path, real))
    assert [(each.split, len(each)) for each in splits.present] == [("train", 3), ("val", 2), ("test", 2)]
    assert splits.present[0].categories.names == ("nucleus",)
    assert splits.present[0].counts.min() >= 3


def test_a_dataset_of_real_images_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "bccd").mkdir()
    assert BCCD.write(tmp_path / "work", tmp_path) == tmp_path / "bccd"
    with pytest.raises(InputError, match=r"bccd are needed, and no folder .* was given; name .* as --places\.real"):
        BCCD.write(tmp_path)
    with pytest.raises(InputError, match="has no folder 'nuclei'"):
        CONFIG.write(tmp_path, tmp_path)
