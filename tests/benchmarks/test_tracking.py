"""The benchmark of trackers runs on clips with known tracks."""

from pathlib import Path

import pytest
from benchmarks.tracking import main

from uncrowd.data.video.read import open_video

TINY = ["--seeds", "3", "--size", "64", "80", "--objects", "2", "3", "--overlap", "0.2"]


def test_it_prints_a_line_for_each_tracker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--frames", "12", "--missed", "0", "0", "--noise", "0", "--score-noise", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[2:]] == [
        "uncrowd (ByteTrack)",
        "ByteTrack without low scores",
        "OC-SORT",
    ]
    assert all(": IDSW 0 (0.00 for 1,000 boxes), IDF1 9" in line for line in lines[2:4])  # nothing was made difficult


def test_lowering_the_scores_of_duplicates_spares_people_apart(capsys: pytest.CaptureFixture[str]) -> None:
    apart = ["--frames", "12", "--overlap", "0", "--missed", "0", "0", "--false", "0"]
    assert main([*TINY, *apart]) == main([*TINY, *apart, "--lower-duplicates", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:5] == lines[7:10]


def test_it_writes_a_clip(tmp_path: Path) -> None:
    assert main([*TINY, "--frames", "3", "--clip", str(tmp_path / "clip.mp4")]) == 0
    with open_video(tmp_path / "clip.mp4") as video:
        assert (video.size, video.rate, len(list(video.frames))) == ((64, 80), 30, 3)
