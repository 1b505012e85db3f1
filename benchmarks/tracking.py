"""Counts identity switches on made clips with known tracks: `python -m benchmarks.tracking` from the root.

In each clip people walk to and fro and pass each other (`uncrowd.data.synthetic.clips`). Without `--weights` a made-up
detector finds them: it misses objects, the more the less of them is visible, moves the sides of boxes, gives hidden
objects lower scores and adds detections where nothing is. With `--weights` a trained detector finds them.

All trackers get the same detections. Identity switches (IDSW) and MOTA are those of CLEAR MOT, IDF1 is that of Ristani
et al.; `trackers.eval` computes them. A line through the middle of the frames counts who crosses it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from benchmarks.command import run
from benchmarks.record import commit, machine
from supervision import Detections as SupervisionDetections
from torch import Tensor
from trackers import ByteTrackTracker, OCSORTTracker
from trackers.eval import compute_clear_metrics, compute_identity_metrics

import uncrowd
from uncrowd.boxes import clip, pairwise_iou
from uncrowd.data.synthetic.clips import ClipFrame, draw_clip
from uncrowd.data.synthetic.scenes import SceneConfig, mean_best_iou
from uncrowd.data.video.read import Frame
from uncrowd.data.video.write import writing_video
from uncrowd.models.decode import lower_duplicates
from uncrowd.structures import Categories, Decoded, Detections
from uncrowd.tracking.tracker import LEAST_IOU, Tracker
from uncrowd.tracking.zones import Line

RATE = 30.0
PERSON = Categories(ids=(1,), names=("person",))


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Track people in made clips."""

    # Weights, or the folder of a run; by default a made-up detector.
    weights: Path | None = None
    # Seeds; each draws another clip.
    seeds: tuple[int, ...] = tuple(range(8))
    # Frames of a clip, 30 a second.
    frames: int = 300
    # Height and width of a frame.
    size: tuple[int, int] = (128, 160)
    # The fewest and the most people in a clip.
    objects: tuple[int, int] = (8, 14)
    # Mean best IoU of the people in the middle frame.
    overlap: float = 0.5
    # Least score with which a detection begins a track.
    threshold: float = 0.4
    # Share of wholly visible objects that the made-up detector misses, and of those that are not visible at all.
    missed: tuple[float, float] = (0.03, 0.8)
    # Standard deviation of each side of a box, as a share of the box's width or height.
    noise: float = 0.04
    # Mean score of wholly visible objects, and of those that are not visible at all.
    scores: tuple[float, float] = (0.75, 0.25)
    # Standard deviation of scores.
    score_noise: float = 0.1
    # Mean number of detections in a frame where nothing is; their scores are from 0 to `threshold` + 0.1.
    false: float = 0.5
    # Lower the scores of duplicates with this power, as `uncrowd predict --lower-duplicates` does.
    lower_duplicates: float | None = None
    # Only write the clip of the first seed to this file, and track nothing.
    clip: Path | None = None


class Tracked(NamedTuple):
    """What a tracker says of a frame: boxes and ids."""

    boxes: Tensor
    ids: np.ndarray


Update = Callable[[Detections, float], Tracked]


def main(argv: Sequence[str]) -> int:
    """Prints a line for each tracker."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.tracking")
    config = SceneConfig(
        size=arguments.size, objects=arguments.objects, overlap=arguments.overlap, classes=PERSON.names
    )
    if arguments.clip is not None:
        with writing_video(arguments.clip, Fraction(RATE)) as write:
            for number, frame in enumerate(draw_clip(config, arguments.frames, arguments.seeds[0])):
                write(Frame(number + 1, number / Fraction(RATE), frame.image))
        return 0
    clips = [list(draw_clip(config, arguments.frames, seed)) for seed in arguments.seeds]
    found = [list(_detect(arguments, clip, seed)) for clip, seed in zip(clips, arguments.seeds, strict=True)]
    people = sum(len(clip[0].boxes) for clip in clips)
    crowding = mean_best_iou([frame.boxes for clip in clips for frame in clip])
    hidden = np.mean(np.concatenate([frame.visible for clip in clips for frame in clip]) < 0.25)
    print(f"{machine()}, commit {commit()}; {len(clips)} clips of {arguments.frames} frames, {people} people")
    print(f"mean best IoU over all frames {crowding:.2f}; less than a quarter visible: {hidden:.1%} of all boxes")
    for name, make in _trackers(arguments.threshold).items():
        print(_line(arguments, name, make, clips, found))
    return 0


def _trackers(threshold: float) -> dict[str, Callable[[], Update]]:
    def ours() -> Update:
        tracker = Tracker([threshold], RATE)

        def update(found: Detections, time: float) -> Tracked:
            tracked = tracker.update(found, time)
            assert tracked.track_ids is not None
            return Tracked(tracked.boxes, tracked.track_ids.numpy())

        return update

    def other(make: Callable[[], ByteTrackTracker | OCSORTTracker]) -> Callable[[], Update]:
        def start() -> Update:
            tracker = make()

            def update(found: Detections, time: float) -> Tracked:
                found = found[found.scores >= threshold]
                given = SupervisionDetections(xyxy=found.boxes.numpy(), confidence=found.scores.numpy())
                tracked = tracker.update(given, timestamp=time)
                assert tracked.tracker_id is not None
                sure = tracked.tracker_id >= 0
                return Tracked(torch.from_numpy(tracked.xyxy[sure]).float(), tracked.tracker_id[sure])

            return update

        return start

    same = {"frame_rate": RATE, "minimum_consecutive_frames": 2, "minimum_iou_threshold": LEAST_IOU}
    return {
        "uncrowd (ByteTrack)": ours,
        "ByteTrack without low scores": other(
            lambda: ByteTrackTracker(track_activation_threshold=threshold, high_conf_det_threshold=threshold, **same)
        ),
        "OC-SORT": other(lambda: OCSORTTracker(high_conf_det_threshold=threshold, **same)),
    }


def _detect(arguments: Arguments, frames: list[ClipFrame], seed: int) -> Iterator[Detections]:
    if arguments.weights is None:
        rng = np.random.default_rng((seed, 1))
        yield from (_made_up(arguments, frame, rng) for frame in frames)
    else:
        detector = uncrowd.load(arguments.weights, lower_duplicates=arguments.lower_duplicates)
        yield from detector.predict(iter([frame.image for frame in frames]))


def _made_up(arguments: Arguments, frame: ClipFrame, rng: np.random.Generator) -> Detections:
    """Returns what the made-up detector finds in a frame, best first."""
    hidden = 1 - frame.visible
    chance = np.interp(hidden, (0, 1), arguments.missed)
    seen = rng.random(len(hidden)) >= chance
    sides = np.tile(frame.boxes[:, 2:] - frame.boxes[:, :2], 2)
    boxes = (frame.boxes + rng.normal(0, arguments.noise, sides.shape) * sides)[seen]
    scores = (np.interp(hidden, (0, 1), arguments.scores) + rng.normal(0, arguments.score_noise, len(hidden)))[seen]
    height, width = arguments.size
    more = rng.poisson(arguments.false)
    extent = rng.uniform(0.1, 0.4, (more, 2)) * height
    corner = rng.uniform(0, 1, (more, 2)) * (width, height) - extent / 2
    everything = torch.from_numpy(np.concatenate([boxes, np.concatenate([corner, corner + extent], 1)]))
    ranks = np.concatenate([scores, rng.uniform(0, arguments.threshold + 0.1, more)]).clip(0.01, 0.99)
    order = np.argsort(-ranks)
    decoded = Decoded(
        boxes=clip(everything, height, width)[order].float()[None],
        scores=torch.from_numpy(ranks[order]).float()[None],
        labels=torch.zeros(1, len(order), dtype=torch.int64),
    )
    if arguments.lower_duplicates is not None:
        decoded = lower_duplicates(decoded, arguments.lower_duplicates)
    return Detections(boxes=decoded.boxes[0], scores=decoded.scores[0], labels=decoded.labels[0], categories=PERSON)


def _line(
    arguments: Arguments,
    name: str,
    make: Callable[[], Update],
    clips: list[list[ClipFrame]],
    found: list[list[Detections]],
) -> str:
    switches = matched = objects = crossed = truly = 0
    mota, idf1 = [], []
    for frames, detections in zip(clips, found, strict=True):
        update = make()
        tracked = [update(each, number / RATE) for number, each in enumerate(detections)]
        truth = [Tracked(torch.from_numpy(frame.boxes).float(), frame.tracks) for frame in frames]
        pairs = [pairwise_iou(true.boxes, ours.boxes).numpy() for true, ours in zip(truth, tracked, strict=True)]
        given = [true.ids for true in truth], [ours.ids for ours in tracked], pairs
        clear = compute_clear_metrics(*given)
        switches, matched = switches + clear["IDSW"], matched + clear["CLR_TP"]
        objects += clear["CLR_TP"] + clear["CLR_FN"]
        mota.append(clear["MOTA"])
        idf1.append(compute_identity_metrics(*given)["IDF1"])
        crossed, truly = crossed + _crossings(arguments, tracked), truly + _crossings(arguments, truth)
    return (
        f"{name}: IDSW {switches} ({1000 * switches / objects:.2f} for 1,000 boxes), IDF1 {np.mean(idf1):.1%}, "
        f"MOTA {np.mean(mota):.1%}, tracked {matched / objects:.1%}; {crossed} crossings counted of {truly}"
    )


def _crossings(arguments: Arguments, tracked: list[Tracked]) -> int:
    """Returns how many cross a line through the middle of the frames, either way."""
    height, width = arguments.size
    line = Line([(width // 2, 0), (width // 2, height)], PERSON.names)
    for frame in tracked:
        some = torch.ones(len(frame.ids))
        line.update(
            Detections(
                boxes=frame.boxes,
                scores=some,
                labels=torch.zeros(len(some), dtype=torch.int64),
                categories=PERSON,
                track_ids=torch.from_numpy(frame.ids),
            )
        )
    return sum(line.counts["person"])


if __name__ == "__main__":
    run(main)
