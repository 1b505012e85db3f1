"""Decides what is a video file."""

from pathlib import Path

# GIF is among the images, of which the first page is read.
SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"),
)


def is_video_file(path: Path) -> bool:
    """Returns whether a path is that of a video, by its ending."""
    return path.suffix.lower() in SUFFIXES
