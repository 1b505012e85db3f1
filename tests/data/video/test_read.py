"""Videos are read frame by frame, upright, at their own times; what cannot be read is said in one sentence."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.clips import HEIGHT, RATE, WIDTH, square, without_end, write_clip, write_sound, write_turned
from uncrowd.data.video import read
from uncrowd.data.video.read import as_video, open_video
from uncrowd.errors import InputError


def test_frames_come_with_their_numbers_times_and_pixels(tmp_path: Path):
    with open_video(write_clip(tmp_path / "a.mp4")) as video:
        frames = list(video.frames)
    assert (video.size, video.rate, video.announced, video.notes()) == ((HEIGHT, WIDTH), RATE, 12, [])
    assert [frame.number for frame in frames] == list(range(1, 13))
    assert [frame.time for frame in frames] == [Fraction(number, 10) for number in range(12)]
    for frame in frames:
        assert np.abs(frame.pixels.astype(int) - square(frame.number)).mean() < 4  # colours are compressed


def test_a_frame_is_decoded_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    given = read._frames
    monkeypatch.setattr(read, "_frames", lambda *a: (asked.append(frame.number) or frame for frame in given(*a)))
    with open_video(write_clip(tmp_path / "a.mp4")) as video:
        assert asked == [1]
        assert [next(video.frames).number for _ in range(2)] == [1, 2]
        assert asked == [1, 2]


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path):
    times = [Fraction(hundredths, 100) for hundredths in (0, 4, 8, 50, 54, 120)]
    with open_video(write_clip(tmp_path / "a.mp4", frames=6, times=times)) as video:
        assert [frame.time for frame in video.frames] == times


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (-90, 3), (180, 2)])
def test_frames_are_turned_as_the_file_says(tmp_path: Path, rotation: int, turns: int):
    with open_video(write_turned(tmp_path / "a.mp4", rotation)) as video:
        first = next(video.frames).pixels
    upright = np.rot90(square(1), turns)
    assert (video.size, first.shape) == (upright.shape[:2], upright.shape)
    assert np.abs(first.astype(int) - upright).mean() < 4


def test_an_odd_size_is_written_with_another_line_of_pixels(tmp_path: Path):
    with open_video(write_clip(tmp_path / "a.mp4", frames=2, size=(47, 63))) as video:
        assert video.size == (48, 64)
        pixels = next(video.frames).pixels.astype(int)
    assert np.abs(pixels[-1] - pixels[-2]).max() <= 8


def test_what_is_damaged_is_left_out_and_counted(tmp_path: Path):
    content = bytearray(write_clip(tmp_path / "a.mp4").read_bytes())
    start = content.index(b"mdat") + 900  # after the first frames; the index follows the frames
    end = content.index(b"moov") - 100
    content[start:end] = bytes(255 - byte for byte in content[start:end])
    (tmp_path / "a.mp4").write_bytes(content)
    with open_video(tmp_path / "a.mp4") as video:
        assert 0 < len(list(video.frames)) <= 12
    assert all(note.startswith(f"{tmp_path / 'a.mp4'} is damaged; ") for note in video.notes())


def test_a_video_that_was_cut_off_says_so(tmp_path: Path):
    clip = write_clip(tmp_path / "a.mp4", frames=80)
    with open_video(without_end(tmp_path / "b.mp4", clip, 0.85)) as video:
        assert 10 < len(list(video.frames)) < 70
    assert len(video.notes()) == 1
    assert "b.mp4 was cut off; it ends after " in video.notes()[0]
    assert video.notes()[0].endswith(" of 8.0 seconds.")


def test_what_is_no_video_is_refused_in_a_sentence(tmp_path: Path):
    clip = write_clip(tmp_path / "clip.mp4")
    write_sound(tmp_path / "sound.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "half.mp4").write_bytes(clip.read_bytes()[:1000])  # without its index
    (tmp_path / "text.mp4").write_text("no video " * 100)
    sentences = {
        "sound.mp4": "has no video stream; give a file that has one.",
        "empty.mp4": "cannot be read as a video (",
        "half.mp4": "cannot be read as a video (",
        "text.mp4": "cannot be read as a video (",
        "missing.mp4": "is no file; put the video there or correct its name.",
        ".": "is no file; ",
    }
    for name, sentence in sentences.items():
        with pytest.raises(InputError) as refused, open_video(tmp_path / name):
            pass
        assert str(refused.value).startswith(f"{tmp_path / name} {sentence}")
    with pytest.raises(InputError, match=r"clip.mp4: its frames have more than 1,000 pixels"):
        open_video(clip, max_pixels=1000).__enter__()


def test_a_camera_is_read_without_end(monkeypatch: pytest.MonkeyPatch):
    # FFmpeg's test image stands for a device, which it opens in the same way.
    monkeypatch.setattr(read, "_camera", lambda index: (f"testsrc=size=64x48:rate={10 + index}", "lavfi"))
    with open_video(5) as video:
        assert (video.name, video.size, video.rate) == ("camera 5", (48, 64), 15)
        assert [next(video.frames).time for _ in range(3)] == [0, Fraction(1, 15), Fraction(2, 15)]


def test_a_missing_camera_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"^camera 99 cannot be read as a video \(.*\); connect it, allow its use"):
        open_video(99).__enter__()
    with pytest.raises(InputError, match="camera is -1; give a whole number of 0 or more"):
        open_video(-1).__enter__()


def test_frames_from_anywhere_have_a_constant_rate():
    video = as_video((square(number) for number in (1, 2)), 12.5)
    assert [(frame.number, frame.time) for frame in video.frames] == [(1, 0), (2, Fraction(2, 25))]


@pytest.mark.parametrize("rate", [0.0, 1e-6, -5.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate: float):
    with pytest.raises(InputError, match=r"^rate is .*; give frames a second, such as 30\.$"):
        as_video([square(1)], rate)
