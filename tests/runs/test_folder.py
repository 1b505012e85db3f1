"""Only one process at a time writes into the folder of a run. Without a name, the folder gets a number."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from uncrowd.errors import InputError
from uncrowd.runs.folder import claimed, copy_run

CLAIM = "import sys; from pathlib import Path; from uncrowd.runs.folder import claimed\n"


def in_another_process(folder: Path, then: str) -> subprocess.CompletedProcess[str]:
    """Runs a statement in another process while that has claimed the folder."""
    code = f"{CLAIM}with claimed(Path(sys.argv[1]), 'run'): {then}"
    return subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)


def test_numbers_are_taken_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with claimed(None, "small") as first, claimed(None, "small") as second, claimed(None, "other") as other:
        assert [first, second, other] == [Path("runs/small-1"), Path("runs/small-2"), Path("runs/other-1")]
        (second / "config.json").write_text("{}")
    assert [path.name for path in Path("runs").iterdir()] == ["small-2"], "what stayed empty is gone"
    with claimed(None, "small") as third:
        assert third == Path("runs/small-1")


def test_a_folder_of_the_user_is_left(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new/run"):
        with claimed(tmp_path / name, "run"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert not list((tmp_path / "mine").iterdir())


def test_another_process_is_refused_meanwhile(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", "run"):
        refused = in_another_process(tmp_path / "run", "pass")
    assert "InputError: Another process is writing into" in refused.stderr
    assert in_another_process(tmp_path / "run", "pass").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    killed = in_another_process(tmp_path / "run", "import os; os.kill(os.getpid(), 9)")
    assert killed.returncode == -9
    assert (tmp_path / "run" / ".lock").exists()
    with claimed(tmp_path / "run", "run"):
        pass
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fcntl")
def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", unsupported)
    with claimed(tmp_path / "run", "run") as folder:
        assert folder.is_dir()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"folder .*file/run cannot be written: Not a directory; name another folder"),
        claimed(tmp_path / "file" / "run", "run"),
    ):
        pass


def test_a_copy_has_all_files_and_its_configuration_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    (run / "tensorboard").mkdir(parents=True)
    names = ["config.json", "last.safetensors", "tensorboard/events"]
    for name in names:
        (run / name).write_text(name)
        (run / name).chmod(0o444)
    copied: list[str] = []
    monkeypatch.setattr("shutil.copyfile", lambda source, target: copied.append(str(source.relative_to(run))))
    copy_run(run, tmp_path / "not really")
    assert sorted(copied) == names
    assert copied[-1] == "config.json"
    monkeypatch.undo()

    copy_run(run, tmp_path / "copy")
    for name in names:
        assert (tmp_path / "copy" / name).read_text() == name
        (tmp_path / "copy" / name).write_text("it can be written")
    with pytest.raises(InputError, match=r"copy already holds a run; go on with `--resume"):
        copy_run(run, tmp_path / "copy")
