"""ONNX Runtime Web comes from npm or a file, and only in one version; each obstacle is a sentence with the mend."""

import inspect
import shutil
import subprocess
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from uncrowd.browser.runtime import GET, PACKAGE, read_runtime
from uncrowd.cli.export import ExportArguments
from uncrowd.errors import InputError


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.tgz"
    other.write_bytes(b"other")
    with pytest.raises(InputError, match=f"other.tgz is not {PACKAGE} or is damaged; get it with `{GET}`"):
        read_runtime(other)
    with pytest.raises(InputError, match=f"missing.tgz cannot be read: No such file or directory; get it with `{GET}`"):
        read_runtime(tmp_path / "missing.tgz")


def test_without_npm_the_command_for_another_machine_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=f"is not installed; run `{GET}` where that works, and name the file with"):
        read_runtime(None)


def test_npm_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = CompletedProcess("npm", 1, stdout="", stderr="npm error\nno network\n")
    monkeypatch.setattr(shutil, "which", lambda _: "npm")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match=rf"npm could not get {PACKAGE} \(npm error no network\); run `{GET}`"):
        read_runtime(None)


def test_the_help_names_the_same_command() -> None:
    assert GET in inspect.getsource(ExportArguments)
