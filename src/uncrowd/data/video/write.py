"""Writes frames as a video file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from uncrowd.data.video.read import Frame

# H.264 where PyAV was built with it, as its wheels are; else what every FFmpeg has.
CODEC = "libx264" if "libx264" in av.codecs_available else "mpeg4"
# Fine enough for all usual frame rates to be exact, 30000/1001 among them.
TIME_BASE = Fraction(1, 90_000)


@contextmanager
def writing_video(path: Path, rate: Fraction) -> Iterator[Callable[[Frame], None]]:
    """Yields a function that appends a frame at its time. The file can be played after an interruption as well.

    rate: frames a second on average, as the file says it. Frames with an odd side get another line of pixels, a copy of
    the last, because H.264 takes colours from squares of 2 x 2 pixels.
    """
    with av.open(str(path), "w") as container:
        stream: VideoStream | None = None

        def write(frame: Frame) -> None:
            nonlocal stream
            height, width = frame.pixels.shape[:2]
            pixels = np.pad(frame.pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = container.add_stream(CODEC, rate=rate, options={"crf": "20", "preset": "veryfast"})
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = TIME_BASE
            converted = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            converted.pts, converted.time_base = round(frame.time / TIME_BASE), TIME_BASE
            container.mux(stream.encode(converted))

        try:
            yield write
        finally:
            if stream is not None:
                container.mux(stream.encode(None))
