"""Whatever goes wrong while a file is written, the previous file stays."""

import os
from pathlib import Path

import pytest

from uncrowd.errors import InputError
from uncrowd.whole_file import whole_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with content, alone in its folder."""
    path = tmp_path / "file.txt"
    path.write_text("before")
    return path


def write_half(path: Path, error: Exception) -> None:
    with whole_file(path) as file:
        file.write_text("half")
        raise error


def test_a_file_is_in_place_only_when_all_is_written(path: Path) -> None:
    with whole_file(path) as file:
        file.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_of_the_writer_is_raised(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_half(path, ZeroDivisionError())
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_named(path: Path) -> None:
    sentence = r"file\.txt cannot be written: No space left on device; what was there before is untouched\.$"
    with pytest.raises(InputError, match=sentence):
        write_half(path, OSError(28, "No space left on device"))
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_kill_left_is_replaced(path: Path) -> None:
    killed = [whole_file(path), whole_file(path)]  # entered and never left
    for context in killed:
        context.__enter__().write_text("half")
    assert len(list(path.parent.iterdir())) == 2
    with whole_file(path) as file:
        file.write_text("after")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["missing/file.txt", "file.txt/file.txt", "folder", ".", "x" * 300])
def test_a_path_that_cannot_be_written_is_refused(path: Path, name: str) -> None:
    (path.parent / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"), whole_file(path.parent / name) as file:
        file.write_text("after")


def test_a_pipe_is_refused_and_stays(path: Path) -> None:
    pipe = path.parent / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"pipe cannot be written: it is a folder, a device or a pipe; name a file\.$"):
        write_half(pipe, ZeroDivisionError())
    assert pipe.is_fifo()
