"""Whatever goes wrong while a file is written, the previous file stays; of a new folder nothing stays."""

import os
from pathlib import Path

import pytest

from uncrowd.errors import InputError
from uncrowd.whole_file import whole_file, whole_folder


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


def fill(folder: Path, error: Exception | None = None) -> None:
    with whole_folder(folder) as beside:
        (beside / "file.txt").write_text("new")
        assert not (folder / "file.txt").exists()
        if error is not None:
            raise error


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_is_in_place_only_when_all_is_written(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "deep" / "folder"
    if exists:
        folder.mkdir(parents=True)
    fill(folder)
    assert list(folder.parent.iterdir()) == [folder]
    assert (folder / "file.txt").read_text() == "new"


def test_nothing_stays_of_half_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fill(tmp_path / "folder", ZeroDivisionError())
    with pytest.raises(InputError, match=r"folder cannot be written \(No space left on device\); name another folder"):
        fill(tmp_path / "folder", OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_of_a_folder_is_replaced(tmp_path: Path) -> None:
    killed = whole_folder(tmp_path / "folder")  # entered and never left
    (killed.__enter__() / "half.txt").touch()
    fill(tmp_path / "folder")
    assert [file.name for file in tmp_path.rglob("*")] == ["folder", "file.txt"]


@pytest.mark.parametrize("name", ["file.txt", ".", "file.txt/folder", "x" * 300])
def test_a_folder_that_cannot_be_new_is_refused(path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"(exists already|cannot be (used|written)).*; name another folder\.$"):
        fill(path.parent / name)
    assert path.read_text() == "before"
