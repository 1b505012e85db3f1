"""Reads the frames of a video file or a camera one after the other, so that memory does not grow with their number."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import UInt8

from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.errors import InputError, require_whole
from uncrowd.words import counted

# Frames a second where neither the file nor the camera says it.
DEFAULT_RATE = Fraction(30)
# Seconds by which a video may be shorter than it says.
TOLERANCE = 1.0


class Frame(NamedTuple):
    """A frame of a video. number: from 1. time: seconds since the first frame. pixels: RGB, turned as the file says."""

    number: int
    time: Fraction
    pixels: UInt8[np.ndarray, "h w 3"]


@dataclass(kw_only=True)
class Video:
    """A video that is open for reading.

    name: of the file or camera, for messages. size: (height, width) of its frames. rate: frames a second, on average.
    announced: the number of frames that the file promises, 0 where it does not say. frames: each can be taken once.
    seconds: how long the file says it is, 0 where it does not say. damaged: how many pieces of what was read so far
    could not be decoded and are left out. reached: the end of the last frame that was read, in seconds.
    """

    name: str
    size: tuple[int, int]
    rate: Fraction
    announced: int
    frames: Iterator[Frame]
    seconds: float = 0.0
    damaged: int = 0
    reached: float = 0.0

    def notes(self) -> list[str]:
        """Returns a sentence for each thing that is missing, after all frames were read."""
        notes = []
        if self.damaged:
            notes.append(f"{self.name} is damaged; {counted(self.damaged, 'piece')} of it could not be decoded.")
        if self.reached + TOLERANCE < self.seconds:
            notes.append(f"{self.name} was cut off; it ends after {self.reached:.1f} of {self.seconds:.1f} seconds.")
        return notes


@contextmanager
def open_video(source: str | Path | int, *, max_pixels: int = MAX_PIXELS) -> Iterator[Video]:
    """Opens a video file, or the camera of this index, for the code inside.

    Frames of another size than the first are resized to it. Times are those of the file, so a variable frame rate is
    kept; where they are missing or go backwards, frames follow each other at the average rate. Packets that cannot be
    decoded are left out and counted.

    Raises InputError for what is no video file, for a file without a video stream or without a frame that can be
    decoded, for frames of more than `max_pixels` pixels, and for a camera that cannot be opened.
    """
    name = f"camera {source}" if isinstance(source, int) else str(source)
    with _open(source, name) as container:
        stream = _stream(container, name)
        rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
        if stream.codec_context.width * stream.codec_context.height > max_pixels:
            raise InputError(f"{name}: its frames have more than {max_pixels:,} pixels; make them smaller.")
        seconds = _seconds(container, stream)
        video = Video(name=name, size=(0, 0), rate=rate, announced=stream.frames, frames=iter(()), seconds=seconds)
        frames = _frames(_decoded(container, stream, video), video)
        first = next(frames, None)
        if first is None:
            raise InputError(f"{name} has no frame that can be decoded; replace the file or leave it out.")
        video.size = (first.pixels.shape[0], first.pixels.shape[1])
        video.frames = chain([first], frames)
        yield video


def as_video(frames: Iterable[UInt8[np.ndarray, "h w 3"]], rate: float) -> Video:
    """Returns frames from anywhere, RGB and all of one size, as a video of a constant rate (frames a second).

    Raises InputError for a rate that is none.
    """
    exact = Fraction(rate).limit_denominator(100_000) if isfinite(rate) else Fraction(0)
    if exact <= 0:
        raise InputError(f"rate is {rate}; give frames a second, such as 30.")
    numbered = (Frame(number, (number - 1) / exact, pixels) for number, pixels in enumerate(frames, start=1))
    return Video(name="frames", size=(0, 0), rate=exact, announced=0, frames=numbered)


def _open(source: str | Path | int, name: str) -> InputContainer:
    """Opens a file or camera. PyAV's errors are told in a sentence."""
    if isinstance(source, int):
        require_whole(0, camera=source)
        address, format = _camera(source)
        mend = "connect it, allow its use, or give another index"
    else:
        address, format = str(source), None
        mend = "replace the file or leave it out"
        if not Path(source).is_file():
            raise InputError(f"{name} is no file; put the video there or correct its name.")
    try:
        return av.open(address, format=format)
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name} cannot be read as a video ({reason}); {mend}.") from error


def _camera(index: int) -> tuple[str, str]:
    """Returns the address of a camera and the input format that opens it, as FFmpeg names them."""
    return (str(index), "avfoundation") if sys.platform == "darwin" else (f"/dev/video{index}", "v4l2")


def _stream(container: InputContainer, name: str) -> VideoStream:
    """Returns the first video stream that is not the cover of an album."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise InputError(f"{name} has no video stream; give a file that has one.")


def _decoded(container: InputContainer, stream: VideoStream, video: Video) -> Iterator[av.VideoFrame]:
    """Yields the frames that can be decoded. Others are counted, and so is an end before the end of the file."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            decoded = packet.decode()
        except FFmpegError:
            video.damaged += 1  # after an error of `packets` itself, it has ended
            continue
        yield from decoded


def _seconds(container: InputContainer, stream: VideoStream) -> float:
    """Returns how long the video should be. An edit list makes the whole shorter than the stream."""
    if not stream.duration or stream.time_base is None:
        return 0.0
    seconds = float(stream.duration * stream.time_base)
    return min(seconds, container.duration / av.time_base) if container.duration else seconds


def _frames(decoded: Iterator[av.VideoFrame], video: Video) -> Iterator[Frame]:
    start = time = Fraction(0)
    width = height = 0
    for number, frame in enumerate(decoded, start=1):
        given = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        if number == 1:
            start, width, height = given or start, frame.width, frame.height
        else:
            time = given - start if given is not None and given - start > time else time + 1 / video.rate
        video.reached = float(time + 1 / video.rate)
        same_size = frame.reformat(width, height, "rgb24")
        pixels = np.rot90(same_size.to_ndarray(), frame.rotation // 90)
        yield Frame(number, time, np.ascontiguousarray(pixels))
