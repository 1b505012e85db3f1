"""A missing compiler, missing headers and a missing Triton are found before anything is built."""

import sys
import sysconfig
from pathlib import Path

import pytest

from uncrowd.ops.triton_available import lacking_for_triton

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Triton comes with torch on Linux alone")


@pytest.fixture(autouse=True)
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Provides a compiler and Python's headers; Triton comes with torch on Linux."""
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.delenv("CPATH", raising=False)
    monkeypatch.delenv("C_INCLUDE_PATH", raising=False)
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path))


def test_nothing_is_lacking() -> None:
    pytest.importorskip("triton")
    assert lacking_for_triton() is None


@pytest.mark.parametrize("compiler", ["no-such-compiler", "ccache gcc", ""])
def test_a_compiler_is_one_program(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.setenv("CC", compiler)
    assert "C compiler" in (lacking_for_triton() or "")


def test_python_headers_are_needed(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    (tmp_path / "Python.h").unlink()
    assert "python3-dev" in (lacking_for_triton() or "")


def test_triton_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncrowd.ops.triton_available.find_spec", lambda _: None)
    assert lacking_for_triton() == "Triton"
