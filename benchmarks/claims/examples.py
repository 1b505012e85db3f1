"""The same test images with the detections of the baseline and of the full method, and with the ground truth."""

import io
from collections.abc import Callable, Mapping

from benchmarks.claims.effects import BASELINE, FULL, IN_WORDS
from benchmarks.claims.study import Study
from PIL import Image

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.read import read_image
from uncrowd.structures import Detections, ImageId
from uncrowd.visualize.draw import draw_detections
from uncrowd.visualize.sheet import grid, in_column

IMAGES = 3
WIDTH = 1080


def examples(
    study: Study,
    test_of: Callable[[str], DetectionDataset],
    found_of: Callable[[str], Mapping[ImageId, Detections]],
) -> tuple[bytes, str] | None:
    """Returns a JPEG of the first test images and its description; None if no seed was run with both detectors.

    Each detector shows what scores at least the threshold that validation chose for it. test_of, found_of: the test
    split and the kept detections of a line.
    """
    seeds = study.seeds([BASELINE, FULL])
    runs = {name: study.records[name][seeds[0]] for name in (BASELINE, FULL)} if seeds else {}
    if not runs or any(record["threshold"] is None for record in runs.values()):
        return None
    test = test_of(runs[BASELINE]["name"])
    found = {name: found_of(record["name"]) for name, record in runs.items()}
    rows = []
    for index in range(min(IMAGES, len(test))):
        sample = test[index]
        pixels, scale = in_column(read_image(sample.path, sample.size))
        boxes = [found[name][sample.id].above(record["threshold"]).boxes.numpy() for name, record in runs.items()]
        rows.append([draw_detections(pixels, each * scale) for each in (*boxes, sample.boxes)])
    sheet = Image.fromarray(grid([IN_WORDS[BASELINE], IN_WORDS[FULL], "ground truth"], rows))
    sheet.thumbnail((WIDTH, WIDTH * 4))
    with io.BytesIO() as file:
        sheet.save(file, format="JPEG", quality=80)
        words = f"The first {len(rows)} test images of {study.dataset}, {study.budget}, seed {seeds[0]}"
        return file.getvalue(), words
