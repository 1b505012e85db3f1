"""Makes tiny videos of a bright square that moves on a dark ground."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from uncrowd.data.video.read import Frame
from uncrowd.data.video.write import writing_video

HEIGHT, WIDTH = 48, 64
RATE = Fraction(10)


def square(number: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """The frame of this number, from 1: a square of 12 x 12 pixels that moves 2 pixels to the right a frame."""
    pixels = np.full((*size, 3), 30, np.uint8)
    pixels[20:32, 2 * number : 2 * number + 12] = (230, 40, 40)
    return pixels


def write_clip(
    path: Path, frames: int = 12, size: tuple[int, int] = (HEIGHT, WIDTH), times: Sequence[Fraction] | None = None
) -> Path:
    with writing_video(path, RATE) as write:
        for number in range(1, frames + 1):
            time = (number - 1) / RATE if times is None else times[number - 1]
            write(Frame(number, time, square(number, size)))
    return path


def write_turned(path: Path, rotation: int) -> Path:
    """A clip whose frames are to be turned by so many degrees when they are shown, as phones write them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.set_display_rotation(rotation)
        for number in (1, 2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(square(number))))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    return path


def without_end(path: Path, source: Path, share: float) -> Path:
    """The first part of a file whose index stands at its beginning, so that a part of it can be played."""
    whole = path.with_suffix(".whole.mp4")
    with av.open(str(source)) as given, av.open(str(whole), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path
