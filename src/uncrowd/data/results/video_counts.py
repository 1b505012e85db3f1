"""Adds up the tracks of a video, and writes a row of CSV for each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from uncrowd.data.results.csv_rows import writing_rows
from uncrowd.data.results.tracks import FoundFrame
from uncrowd.words import counted


class VideoCounts:
    """Of a video: its frames and seconds, the tracks of each class, those that crossed the line, those in the zone."""

    def __init__(self, name: str, classes: Sequence[str], rate: Fraction) -> None:
        """Begins at 0. name: the video's. classes: those that are counted. rate: frames a second."""
        self.name = name
        self.rate = rate
        self.frames = 0
        self.seconds = 0.0
        self.tracks = dict.fromkeys(classes, 0)
        self.crossed: dict[str, tuple[int, int]] | None = None
        self.in_zone: tuple[int, int] | None = None
        self._highest = 0

    def add(self, found: FoundFrame) -> None:
        """Adds the next frame. A track that was not in an earlier frame has a higher id than all of those."""
        assert found.tracks.track_ids is not None
        self.frames, self.seconds = found.frame.number, float(found.frame.time + 1 / self.rate)  # to its end
        ids = found.tracks.track_ids.tolist()
        for name, id in zip(found.tracks.names, ids, strict=True):
            self.tracks[name] += id > self._highest
        self._highest = max([self._highest, *ids])
        self.crossed = found.crossed
        if found.in_zone is not None:
            total, most = self.in_zone or (0, 0)
            self.in_zone = total + len(found.in_zone), max(most, len(found.in_zone))

    @property
    def zone_mean(self) -> float:
        """The number of objects in the zone, on average over the frames."""
        return 0.0 if self.in_zone is None else self.in_zone[0] / max(self.frames, 1)

    def in_words(self) -> str:
        """Returns a line such as "clip.mp4: 250 frames, 10.00 s, 14 tracks; line: 3 in, 1 out"."""
        total = sum(self.tracks.values())
        each = ", ".join(f"{name} {number}" for name, number in self.tracks.items())
        words = f"{self.name}: {counted(self.frames, 'frame')}, {self.seconds:.2f} s, {counted(total, 'track')}"
        words += f" ({each})" if len(self.tracks) > 1 else ""
        if self.crossed is not None:
            into, out = (sum(numbers) for numbers in zip(*self.crossed.values(), strict=True))
            words += f"; line: {into} in, {out} out"
        if self.in_zone is not None:
            words += f"; zone: {self.zone_mean:.1f} on average, at most {self.in_zone[1]}"
        return words


@contextmanager
def writing_video_counts(
    path: Path, classes: Sequence[str], *, line: bool, zone: bool
) -> Iterator[Callable[[VideoCounts], None]]:
    """Yields a function that appends a video. The columns of the line and the zone are there where these are."""
    header = ["video", "frames", "seconds", *classes]
    header += [f"{name} {way}" for name in classes for way in ("in", "out")] if line else []
    header += ["zone mean", "zone most"] if zone else []
    with writing_rows(path, header) as write:
        yield lambda counts: write([_row(counts, classes, line=line, zone=zone)])


def _row(counts: VideoCounts, classes: Sequence[str], *, line: bool, zone: bool) -> list[object]:
    row: list[object] = [counts.name, counts.frames, f"{counts.seconds:.3f}", *counts.tracks.values()]
    if line:
        crossed = counts.crossed or {}
        row += [number for name in classes for number in crossed.get(name, (0, 0))]
    if zone:
        row += [f"{counts.zone_mean:.2f}", 0 if counts.in_zone is None else counts.in_zone[1]]
    return row
