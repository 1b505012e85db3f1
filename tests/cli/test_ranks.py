"""Two ranks of `uncrowd predict` and `uncrowd eval` give what one process gives, and fail as one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.two_ranks import on_two_ranks, only_linux
from uncrowd.errors import NonFiniteError
from uncrowd.inference.predictor import Predictor

pytestmark = only_linux
FORMATS = ("coco", "csv", "yolo", "voc", "crops")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_predict_writes_what_one_process_writes(uncrowd, weights, shapes, tmp_path, monkeypatch):
    monkeypatch.setattr("uncrowd.ranks.TOGETHER", 2)  # so that results are exchanged twice
    photos, again = tmp_path / "photos", tmp_path / "again"
    shutil.copytree(shapes / "images", photos)
    shutil.copytree(shapes / "images", again)  # their results have the same names
    (photos / "train2.png").write_text("no image")
    (photos / "clip.mp4").touch()  # a note says once that it is left out
    command = ("predict", weights, photos, again, "--threshold", 0, "--batch-size", 2, "--device", "cpu")
    command += ("--format", *FORMATS, "--out")
    alone = uncrowd(*command, tmp_path / "one")
    first, second = on_two_ranks(tmp_path / "said", *command, tmp_path / "two")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert "train1-2.jpg" in contents(tmp_path / "two")
    assert (first.status, second.status) == (2, 2)  # an image is left out
    assert first.err == alone.err
    assert "left out: " in first.err
    assert "note: videos beside images are left out" in first.err
    assert first.out == alone.out.replace(str(tmp_path / "one"), str(tmp_path / "two"))
    assert second.out == second.err == ""


def test_torchrun_scores_what_one_process_scores(uncrowd, run, shapes, tmp_path):
    command = (
        "eval",
        run,
        "--data",
        shapes,
        "--batch-size",
        1,
        "--workers",
        0,
        "--errors",
        "--json",
        "--device",
        "cpu",
    )
    alone = uncrowd(*command, "--out", tmp_path / "one.json")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "uncrowd"]
    two = subprocess.run(
        [*torchrun, *map(str, command), "--out", str(tmp_path / "two.json")], capture_output=True, text=True, check=True
    )
    assert two.stdout == alone.out
    assert (tmp_path / "two.json").read_bytes() == (tmp_path / "one.json").read_bytes()


def test_what_both_refuse_is_said_once(uncrowd, weights, shapes, tmp_path):
    command = ("predict", weights, shapes / "images", "--only", "cat", "--out", tmp_path / "out")
    alone = uncrowd(*command)
    two = on_two_ranks(tmp_path / "said", *command)
    assert [said.status for said in two] == [2, 2]
    assert sorted(said.err for said in two) == ["", alone.err]
    assert not (tmp_path / "out").exists()


def test_videos_are_refused_once(weights, tmp_path):
    (tmp_path / "clip.mp4").touch()
    two = on_two_ranks(tmp_path / "said", "predict", weights, tmp_path / "clip.mp4")
    assert [said.status for said in two] == [2, 2]
    sentence = "Objects in a video are followed by one process; start the command without torchrun."
    assert sorted(said.err for said in two) == ["", f"uncrowd: {sentence}\n"]


def test_the_rank_that_fails_says_why(weights, shapes, tmp_path, monkeypatch):
    """The other one waits for it, loses the connection, and says nothing."""

    def damaged(*given):
        if os.environ["RANK"] == "1":
            raise NonFiniteError("its weights are damaged")
        return intact(*given)

    intact = Predictor.predict
    monkeypatch.setattr(Predictor, "predict", damaged)
    argv = ("predict", weights, shapes / "images", "--out", tmp_path / "out", "--device", "cpu")
    first, second = on_two_ranks(tmp_path / "said", *argv)
    assert (first.status, second.status) == (1, 1)
    assert (first.out, first.err) == ("", "")
    assert second.err == "uncrowd: its weights are damaged\n"
