"""What all verbs share: help without delay, exit codes, and one sentence for unusable input."""

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from uncrowd import __version__, cli
from uncrowd.cli import VERBS
from uncrowd.errors import NonFiniteError


def test_help_lists_every_verb_without_importing_torch():
    script = "import sys, uncrowd.cli; uncrowd.cli.main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)


def test_the_version_is_printed(uncrowd):
    assert uncrowd("--version") == (0, f"uncrowd {__version__}\n", "")


def test_without_a_verb_the_help_goes_to_standard_error(uncrowd):
    said = uncrowd()
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("usage: uncrowd VERB")


def test_an_unknown_verb_is_refused_with_the_nearest(refused):
    assert "the nearest is predict." in refused("pedict")
    assert "there are demo, fetch, check" in refused("xyzzy")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_under_its_own_name(uncrowd, verb):
    said = uncrowd(verb, "--help")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"usage: uncrowd {verb} ")


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (["predict", "w.safetensors", "a.png", "--treshold", "0.5"], "--threshold NUMBER | CLASS=NUMBER"),
        (["eval", "w.safetensors", "--data", "d", "--batchsize", "2"], "--batch-size INT"),
        (["train", "--data", "d", "--train.epoch", "3"], "--train.epochs INT"),
        (["train", "coco-r50-100", "--data", "d", "--model.proposal", "3"], "--model.proposals INT"),
    ],
)
def test_a_misspelt_flag_is_refused_with_the_nearest(uncrowd, argv, meant):
    said = uncrowd(*argv)
    assert (said.status, said.out) == (2, "")
    assert meant in said.err
    assert f"uncrowd {argv[0]}" in said.err
    assert "Traceback" not in said.err
    assert said.err.count("\n") < 15


@pytest.mark.parametrize(
    "argv",
    [
        ["predict", "w", "a.png", "--format", "coco", "--format", "csv"],
        ["eval", "w", "--batch-size", "2", "--data", "d", "--batch_size=3"],
        ["check", "d", "--json", "--json"],
        ["train", "--resume", "a", "--resume", "b"],
        ["figure", "compare", "a", "b", "--data", "d", "--names", "a", "--names", "b"],
    ],
)
def test_a_flag_given_twice_is_refused(refused, argv):
    assert " is given twice; give it once, with all its values after it." in refused(*argv)


@pytest.mark.parametrize(
    ("argv", "place"),
    [
        (["eval", "w", "--data", ""], "An argument after --data"),
        (["predict", "w", "--out=", "a.png"], "An argument after --out"),
        (["eval", "w", "--data", "d", "--split", " "], "An argument after --split"),
        (["info", ""], "An argument"),
        (["train", ""], "An argument"),
    ],
)
def test_an_empty_argument_is_refused(refused, argv, place):
    assert f"{place} is empty, perhaps a variable that is not set; give a value, or leave it out." in refused(*argv)


@pytest.mark.parametrize(
    ("flag", "argv"),
    [
        ("--threshold", ["eval", "w", "--data", "d", "--threshold"]),
        ("--max-dets", ["eval", "w", "--max_dets", "--data", "d"]),
        ("--format", ["predict", "w", "a.png", "--format", "--json-only"]),
        ("--classes", ["check", "d", "--classes"]),
        ("--classes", ["train", "--data", "d", "--classes"]),
        ("--images", ["figure", "compare", "a", "b", "--data", "d", "--images"]),
    ],
)
def test_a_flag_of_several_values_needs_one(refused, flag, argv):
    assert f"{flag} has no value; give at least one after it, or leave it out." in refused(*argv)


def test_an_internal_error_exits_with_1_and_its_traceback(uncrowd, monkeypatch, tmp_path):
    monkeypatch.setattr("uncrowd.cli.check.find_layout", lambda path: 1 / 0)
    said = uncrowd("check", tmp_path)
    assert said.status == 1
    assert "ZeroDivisionError" in said.err
    assert "please report it" in said.err


def test_a_loss_that_is_not_finite_exits_with_1_and_one_sentence(uncrowd, monkeypatch, tmp_path):
    monkeypatch.setattr("uncrowd.cli.check.find_layout", raises(NonFiniteError("the loss is nan")))
    assert uncrowd("check", tmp_path) == (1, "", "uncrowd: the loss is nan\n")


def test_an_error_of_the_operating_system_is_one_sentence(refused, monkeypatch, tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device", "runs/1/metrics.jsonl")
    monkeypatch.setattr("uncrowd.cli.check.find_layout", raises(full))
    assert "runs/1/metrics.jsonl cannot be used: No space left on device." in refused("check", tmp_path)


def test_a_name_that_is_too_long_is_one_sentence(refused, monkeypatch, tmp_path):
    error = OSError(errno.ENAMETOOLONG, "File name too long", "aaaa")
    monkeypatch.setattr("uncrowd.cli.check.find_layout", raises(error))
    assert "aaaa cannot be used: File name too long." in refused("check", tmp_path)


def test_an_interrupt_exits_with_130(uncrowd, monkeypatch, tmp_path):
    monkeypatch.setattr("uncrowd.cli.check.find_layout", raises(KeyboardInterrupt()))
    assert uncrowd("check", tmp_path) == (130, "", "uncrowd: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="uses bash")
def test_a_closed_pipe_is_not_an_error():
    # a pipe whose other end is closed before anything is written
    script = f"{sys.executable} -m uncrowd info coco-r50-100 | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="uses bash")
def test_any_encoding_and_a_closed_output_are_written_to(tmp_path):
    """The name is not in the encoding, and standard output is closed in the second call."""
    folder = tmp_path / "人混み"
    folder.mkdir()
    command = f"{sys.executable} -m uncrowd check {folder}"
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    for script in (command, f"{command} >&-"):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)
        assert done.returncode == 2
        assert done.stderr.startswith(f"uncrowd: {tmp_path}/\\u4eba\\u6df7\\u307f has no annotation file")
        assert done.stderr.count("\n") == 1


def test_a_control_character_of_a_file_forges_no_line(uncrowd, tmp_path):
    file = tmp_path / "a\nuncrowd: all is well\x1b[2J.png"
    file.write_bytes(b"no image")
    said = uncrowd("eval", file, "--data", tmp_path)
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert r"a\nuncrowd: all is well\x1b[2J.png" in said.err


def raises(error: BaseException):
    def fail(path: Path):
        raise error

    return fail


def test_a_warning_is_shown_without_the_line_of_code_that_gave_it(monkeypatch):
    monkeypatch.setattr(cli, "main", lambda argv: 0)
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(cli.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with pytest.raises(SystemExit):
        cli.run()
    assert warnings.formatwarning("5 images are empty", UserWarning, "file.py", 3) == "note: 5 images are empty\n"


@pytest.mark.parametrize("verb", VERBS)
def test_freed_memory_is_kept_by_all_verbs_that_do_not_train(monkeypatch, capsys, verb):
    kept: list[bool] = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: kept.append(True))
    monkeypatch.setattr(cli.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["uncrowd", verb, "--help"])
    with pytest.raises(SystemExit):
        cli.run()
    assert capsys.readouterr().out.startswith(f"usage: uncrowd {verb} ")
    assert bool(kept) == (verb not in ("train", "demo"))
