"""Drawn clips have exact tracks of people who pass each other."""

import numpy as np

from uncrowd.data.synthetic.clips import draw_clip
from uncrowd.data.synthetic.scenes import SceneConfig, mean_best_iou

PEOPLE = SceneConfig(size=(64, 80), objects=(6, 6), overlap=0.4, classes=("person",))


def test_a_clip_follows_each_object_through_all_frames():
    frames = list(draw_clip(PEOPLE, 40, 1))
    again = list(draw_clip(PEOPLE, 40, 1))
    assert all((a.image == b.image).all() and (a.boxes == b.boxes).all() for a, b in zip(frames, again, strict=True))
    assert {tuple(sorted(frame.tracks)) for frame in frames} == {tuple(range(len(frames[0].boxes)))}
    middles = np.array([(f.boxes[:, 0] + f.boxes[:, 2])[np.argsort(f.tracks)] / 2 for f in frames])
    steps = np.abs(np.diff(middles, axis=0))
    assert steps.max() < 4  # pixels a frame: nobody jumps
    assert (middles.max(axis=0) - middles.min(axis=0)).max() > 4
    ranks = middles.argsort(axis=1)
    assert len({tuple(row) for row in ranks}) > 1  # somebody passes somebody
    assert mean_best_iou([frames[20].boxes]) > 0.2
