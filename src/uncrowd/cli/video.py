"""What `uncrowd predict` does with videos and cameras: follows objects, and writes their tracks frame by frame."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from uncrowd.cli.progress import progress_bar
from uncrowd.cli.thresholds import Chosen
from uncrowd.data.results.tracks import FoundFrame, writing_frames, writing_motchallenge
from uncrowd.data.results.video_counts import VideoCounts, writing_video_counts
from uncrowd.data.video.read import Frame, Video, open_video
from uncrowd.data.video.write import writing_video
from uncrowd.errors import InputError
from uncrowd.inference.predictor import Predictor
from uncrowd.overwriting import refuse_overwriting
from uncrowd.structures import Detections
from uncrowd.tracking.track import TrackedFrame, track
from uncrowd.tracking.zones import Line, Points, Zone
from uncrowd.visualize.tracks import draw_tracks
from uncrowd.words import counted, one_line

COUNTS = "counts.csv"
# What is written for each video: its annotated copy, and its tracks in two formats.
VIDEO, FRAMES, MOTCHALLENGE = ".mp4", ".jsonl", ".txt"


@dataclass(frozen=True, kw_only=True)
class VideoOutput:
    """What is read, and what is written of it.

    names: of each video file, the path of its results in the output folder, without a suffix. camera: an index, instead
    of files. line, zone: their points. annotated: whether the video is written with its tracks.
    """

    names: Mapping[Path, Path]
    camera: int | None
    line: Points | None
    zone: Points | None
    annotated: bool

    def __post_init__(self) -> None:
        """Raises InputError for points that make no line or no zone."""
        Marks.of(self, ())

    @property
    def sources(self) -> dict[Path | int, Path]:
        """The video files, or the camera, each with its name in the output folder."""
        return {**self.names} if self.camera is None else {self.camera: Path(f"camera-{self.camera}")}

    @property
    def suffixes(self) -> list[str]:
        """The endings of the files that are written for each video."""
        return [FRAMES, MOTCHALLENGE, *([VIDEO] if self.annotated else [])]

    def refuse_overwriting(self, out: Path | None, *, replace: bool) -> None:
        """Raises InputError where a result would replace one of the videos, or earlier results unless `replace`."""
        if out is not None:  # a new folder is empty
            files = [_with(out / name, suffix) for name in self.sources.values() for suffix in self.suffixes]
            mend = "name another folder with --out"
            refuse_overwriting([*files, out / COUNTS], self.names, mend=mend, replace=replace)


class Marks(NamedTuple):
    """The line and the zone in a video, where they are given."""

    line: Line | None
    zone: Zone | None

    @classmethod
    def of(cls, output: VideoOutput, classes: Sequence[str]) -> "Marks":
        """Returns new ones for a video."""
        line = None if output.line is None else Line(output.line, classes)
        zone = None if output.zone is None else Zone(output.zone)
        return cls(line, zone)

    def apply(self, frame: Frame, tracks: Detections, only: Sequence[str]) -> FoundFrame:
        """Returns a frame with what has crossed the line up to it and what is in the zone; `only` of these classes."""
        crossed = None
        if self.line is not None:
            self.line.update(tracks)
            crossed = {name: self.line.counts[name] for name in only}
        return FoundFrame(frame, tracks, None if self.zone is None else self.zone.ids(tracks), crossed)

    def drawn(self, found: FoundFrame) -> list[tuple[Points, str]]:
        """Returns the points of each, and its numbers in a frame."""
        shapes: list[tuple[Points, str]] = []
        if self.line is not None and found.crossed is not None:
            into, out = (sum(numbers) for numbers in zip(*found.crossed.values(), strict=True))
            shapes.append((self.line.points, f"in {into}, out {out}"))
        if self.zone is not None and found.in_zone is not None:
            shapes.append((self.zone.points, f"{len(found.in_zone)} inside"))
        return shapes


def track_videos(
    predictor: Predictor, output: VideoOutput, out: Path, threshold: Chosen, only: Sequence[str], batch_size: int
) -> int:
    """Writes the tracks of each video. Returns 2 if one, or a part of one, could not be read, else 0."""
    line, zone = output.line is not None, output.zone is not None
    whole = read = tracks = 0
    with writing_video_counts(out / COUNTS, only, line=line, zone=zone) as write_counts:
        for source, name in output.sources.items():
            with ExitStack() as stack:
                try:
                    video = stack.enter_context(open_video(source, max_pixels=predictor.max_pixels))
                    _require_inside(output, video)
                except InputError as error:
                    print(f"left out: {error}", file=sys.stderr)
                    continue
                marks = Marks.of(output, predictor.categories.names)
                counts = VideoCounts(video.name, only, video.rate)
                try:
                    frames = track(predictor, video, threshold.shown, batch_size, only=only)
                    _write(frames, video, out / name, marks, counts, annotated=output.annotated)
                finally:  # after Ctrl-C too, which ends a camera
                    write_counts(counts)
                    print(one_line(counts.in_words()))
                for note in video.notes():
                    print(one_line(f"note: {note}"), file=sys.stderr)
                read, whole, tracks = read + 1, whole + (not video.notes()), tracks + sum(counts.tracks.values())
    left_out = f", {len(output.sources) - read} left out" if read < len(output.sources) else ""
    print(
        f"{counted(tracks, 'track')} that begin with a score of {threshold.shown_words} in {counted(read, 'video')}"
        f"{left_out}; written to {out}"
    )
    return 0 if whole == len(output.sources) else 2


def _write(
    frames: Iterator[TrackedFrame], video: Video, target: Path, marks: Marks, counts: VideoCounts, *, annotated: bool
) -> None:
    """Writes the frames of one video, and adds them to the counts. target: the path of the results, without suffix."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(writing_frames(_with(target, FRAMES))),
            stack.enter_context(writing_motchallenge(_with(target, MOTCHALLENGE))),
        ]
        if annotated:
            writers.append(stack.enter_context(_annotating(_with(target, VIDEO), video, marks)))
        on_frame = stack.enter_context(progress_bar(f"tracking in {video.name}"))
        for frame, tracks in frames:
            found = marks.apply(frame, tracks, list(counts.tracks))
            for write in writers:
                write(found)
            counts.add(found)
            on_frame(frame.number, video.announced or None)


@contextmanager
def _annotating(path: Path, video: Video, marks: Marks) -> Iterator[Callable[[FoundFrame], None]]:
    """Yields a function that appends a frame with its tracks drawn to a video."""
    with writing_video(path, video.rate) as write:

        def add(found: FoundFrame) -> None:
            drawn = draw_tracks(found.frame.pixels, found.tracks, marks.drawn(found))
            write(found.frame._replace(pixels=drawn))

        yield add


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def read_points(words: str | None, flag: str) -> Points | None:
    """Returns the points of a flag, if it is given. Raises InputError for other than pairs of whole numbers."""
    if words is None:
        return None
    try:
        numbers = [int(word) for word in words.split(",")]
    except ValueError as error:
        raise InputError(f"{flag} is {words!r}; give whole numbers with commas between them.") from error
    if len(numbers) % 2:
        raise InputError(f"{flag} is {words!r}, an odd number of coordinates; give X,Y for each point.")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _require_inside(output: VideoOutput, video: Video) -> None:
    """Raises InputError for a point outside the frames."""
    height, width = video.size
    for flag, points in (("--line", output.line), ("--zone", output.zone)):
        for x, y in points or []:
            if not (0 <= x <= width and 0 <= y <= height):
                raise InputError(
                    f"{flag} has the point {x},{y}, but the frames of {video.name} have {width} x {height} pixels."
                )
