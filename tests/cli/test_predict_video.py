"""`uncrowd predict` follows objects through videos and writes their tracks."""

import csv
import json
from itertools import islice
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.clips import HEIGHT, RATE, WIDTH, without_end, write_clip
from uncrowd.data.video import read
from uncrowd.tracking.track import track


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


@pytest.fixture
def follow(uncrowd, weights, tmp_path):
    """`follow(clip)`: what the call said, and the folder of its results. Every proposal begins a track."""

    def call(*sources, flags=()):
        argv = (weights, *sources, "--out", tmp_path / "out", "--threshold", 0, "--device", "cpu", *flags)
        return uncrowd("predict", *argv), tmp_path / "out"

    return call


def test_a_video_gives_its_tracks_in_all_formats(follow, clip):
    line, zone = "32,0,32,48", "0,0,64,0,64,48,0,48"
    said, out = follow(clip, flags=["--line", line, "--zone", zone])
    assert (said.status, said.err) == (0, "")
    assert f"{clip}: 12 frames, 1.20 s, " in said.out
    assert said.out.endswith(f" tracks that begin with a score of 0 or more in 1 video; written to {out}\n")
    assert sorted(file.name for file in out.iterdir()) == ["clip.jsonl", "clip.mp4", "clip.txt", "counts.csv"]

    records = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()]
    assert [(record["frame"], record["time"]) for record in records] == [(n + 1, n / 10) for n in range(12)]
    assert records[0]["tracks"] == []
    assert len(records[-1]["tracks"]) > 0
    assert list(records[-1]) == ["frame", "time", "crossed", "in_zone", "tracks"]
    assert list(records[-1]["tracks"][0]) == ["track", "class", "category_id", "score", "box_xyxy"]
    assert records[-1]["in_zone"] == [each["track"] for each in records[-1]["tracks"]]

    rows = [line.split(",") for line in (out / "clip.txt").read_text().splitlines()]
    of_json = [(record["frame"], each) for record in records for each in record["tracks"]]
    assert len(rows) == len(of_json)
    for row, (frame, each) in zip(rows, of_json, strict=True):
        left, top, right, bottom = each["box_xyxy"]
        numbers = [frame, each["track"], left, top, right - left, bottom - top, each["score"], -1, -1, -1]
        assert [float(value) for value in row] == pytest.approx(numbers, abs=0.02)

    with av.open(str(out / "clip.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.height, stream.width, stream.average_rate) == (HEIGHT, WIDTH, RATE)
        assert len(list(video.decode(video=0))) == 12

    (counts,) = csv.DictReader((out / "counts.csv").read_text().splitlines())
    ids = {each["track"]: each["class"] for _, each in of_json}
    assert counts["video"] == str(clip)
    assert (counts["frames"], counts["seconds"]) == ("12", "1.200")
    assert [int(counts[name]) for name in ("dark", "bright")] == [[*ids.values()].count(n) for n in ("dark", "bright")]
    assert int(counts["dark in"]) == records[-1]["crossed"]["dark"]["in"]
    assert int(counts["zone most"]) == max(len(record["in_zone"]) for record in records)


def test_json_only_and_a_class_filter_hold_for_videos(follow, clip):
    said, out = follow(clip, flags=["--json-only", "--only", "bright", "--batch-size", 5])
    assert said.status == 0
    assert not (out / "clip.mp4").exists()
    records = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()]
    assert {each["class"] for record in records for each in record["tracks"]} <= {"bright"}
    assert (out / "counts.csv").read_text().startswith("video,frames,seconds,bright\n")


def test_folders_of_videos_are_searched(follow, clip, tmp_path):
    for name in ("in/a.mp4", "in/deep/a.mov", "in/a.mkv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(clip.read_bytes())
    said, out = follow(tmp_path / "in", flags=["--json-only"])
    assert said.status == 0
    names = sorted(file.relative_to(out).as_posix() for file in out.rglob("*.txt"))
    assert names == ["a-2.txt", "a.txt", "deep/a.txt"]
    assert len((out / "counts.csv").read_text().splitlines()) == 4


def test_a_damaged_video_does_not_end_the_others(follow, clip, tmp_path):
    without_end(tmp_path / "cut.mp4", write_clip(tmp_path / "long.mp4", frames=80), 0.85)
    (tmp_path / "empty.mp4").touch()
    said, out = follow(tmp_path / "empty.mp4", tmp_path / "cut.mp4", clip, flags=["--json-only"])
    assert said.status == 2
    assert f"left out: {tmp_path / 'empty.mp4'} cannot be read as a video (" in said.err
    assert f"note: {tmp_path / 'cut.mp4'} was cut off; it ends after " in said.err
    assert "in 2 videos, 1 left out; written to" in said.out
    assert len((out / "clip.jsonl").read_text().splitlines()) == 12


def test_images_and_videos_are_not_mixed(refused, follow, weights, clip, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/clip.mp4").write_bytes(clip.read_bytes())
    Image.new("RGB", (64, 48)).save(tmp_path / "in/1.png")
    said, out = follow(tmp_path / "in")
    assert said.status == 0
    assert said.err == f"note: videos beside images are left out; name them, such as {tmp_path / 'in/clip.mp4'}.\n"
    assert (out / "1.jpg").exists()
    assert f"{clip} is a video and {tmp_path / 'in/1.png'} an image" in refused(
        "predict", weights, clip, tmp_path / "in"
    )


def test_flags_that_do_not_fit_are_refused_in_a_sentence(refused, weights, shapes, clip, tmp_path):
    cases = {
        (clip, "--line", "1,2,3"): "--line is '1,2,3', an odd number of coordinates; give X,Y for each point.",
        (clip, "--line", "a,2,3,4"): "--line is 'a,2,3,4'; give whole numbers with commas between them.",
        (clip, "--line", "1,2,1,2"): "a line has two different points",
        (clip, "--zone", "1,2,3,4"): "a zone has three points or more",
        (clip, "--format", "yolo"): "--format is for images; ",
        (clip, "--camera", "0"): "--camera is given, and files as well; give one of the two.",
        (shapes / "images", "--line", "1,2,3,4"): "--line counts tracks in videos, and there is none; ",
    }
    for argv, sentence in cases.items():
        assert sentence in refused("predict", weights, *argv, "--out", tmp_path / "out")
    assert "is one of the inputs and would be overwritten" in refused("predict", weights, clip, "--out", clip.parent)


def test_a_video_that_a_zone_does_not_fit_is_left_out(follow, clip, tmp_path):
    write_clip(tmp_path / "large.mp4", size=(2 * HEIGHT, WIDTH))
    said, out = follow(clip, tmp_path / "large.mp4", flags=["--json-only", "--zone", "0,0,64,0,64,49"])
    assert said.status == 2
    assert said.err == f"left out: --zone has the point 64,49, but the frames of {clip} have 64 x 48 pixels.\n"
    assert "in 1 video, 1 left out; written to" in said.out
    assert [file.name for file in out.glob("*.jsonl")] == ["large.jsonl"]


def test_a_camera_writes_until_it_is_interrupted(follow, monkeypatch):
    def until_ctrl_c(*arguments, **flags):
        yield from islice(track(*arguments, **flags), 5)
        raise KeyboardInterrupt

    monkeypatch.setattr("uncrowd.cli.video.track", until_ctrl_c)
    monkeypatch.setattr(read, "_camera", lambda index: ("testsrc=size=64x48:rate=10", "lavfi"))
    said, out = follow(flags=["--camera", "0", "--batch-size", 1])
    assert said.status == 130
    assert "camera 0: 5 frames, 0.50 s, " in said.out
    assert len((out / "camera-0.jsonl").read_text().splitlines()) == 5
    with av.open(str(out / "camera-0.mp4")) as video:
        assert len(list(video.decode(video=0))) == 5
