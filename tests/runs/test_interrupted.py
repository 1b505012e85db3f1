"""An interrupted run ends as if it had not been: every file that holds numbers is the same, bit for bit."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.runs.process import Process, prepare
from tests.runs.same_end import assert_same_end, logged
from tests.tiny import tiny_experiment
from uncrowd import config
from uncrowd.data.augment.affine import AffineConfig
from uncrowd.data.augment.colour import ColourConfig
from uncrowd.data.augment.degrade import BlurConfig, NoiseConfig
from uncrowd.data.augment.mosaic import MosaicConfig
from uncrowd.data.augment.paste import PasteConfig
from uncrowd.engine.checkpoint import HEADER
from uncrowd.engine.learner import Learner
from uncrowd.engine.metrics import read_metrics
from uncrowd.errors import InputError
from uncrowd.runs.run import Run, begin, resume
from uncrowd.runs.scoring import Scoring
from uncrowd.weights.file import read_safetensors, write_safetensors

AtStep = Callable[[int, Callable[[], None]], None]

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from uncrowd.engine.train import Trainer
from uncrowd.runs.run import resume

def step(self, batch, original=Trainer._step):
    if self.global_step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, batch)

Trainer._step = step
resume(Path(sys.argv[1]), device="cpu")
"""


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def test_a_run_of_an_earlier_version_goes_on(crowd: Path, finished: Path, tmp_path: Path, at_step: AtStep) -> None:
    """Its checkpoint and its log say pictures instead of images, and lack settings that came later."""
    folder = tmp_path / "run"
    at_step(3, terminate)
    assert not begin(Run(experiment=tiny_experiment(), data=str(crowd)), folder, device="cpu").finished
    checkpoint, log = folder / "last.safetensors", folder / "metrics.jsonl"
    tensors, header = read_safetensors(checkpoint)
    description = json.loads(header[HEADER])
    del description["facts"]["configuration"]["model"]["queries"]
    del description["facts"]["configuration"]["dense_loss"]
    write_safetensors(checkpoint, tensors, {HEADER: json.dumps(description).replace('"images"', '"pictures"')})
    log.write_text(log.read_text().replace("images_per_second", "pictures_per_second"))
    assert '"pictures"' in str(read_safetensors(checkpoint)[1])
    assert "pictures_per_second" in log.read_text()

    assert resume(folder, device="cpu").finished
    assert_same_end(folder, finished)
    assert "Images a second" in (folder / "report.html").read_text()


@pytest.mark.usefixtures("no_report")
def test_a_run_with_dense_queries_draws_their_numbers_again(crowd: Path, tmp_path: Path, at_step: AtStep) -> None:
    tiny = tiny_experiment()
    run = Run(experiment=replace(tiny, model=replace(tiny.model, queries="dense")), data=str(crowd))
    assert begin(run, tmp_path / "whole", device="cpu").finished
    at_step(3, terminate)
    assert not begin(run, tmp_path / "stopped", device="cpu").finished
    assert resume(tmp_path / "stopped", device="cpu").finished
    assert_same_end(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("step", [1, 3, 6, 7], ids=["1", "3, last of its epoch", "6", "7, last of the run"])
def test_stopped_and_resumed(crowd: Path, finished: Path, tmp_path: Path, at_step: AtStep, step: int) -> None:
    folder, said = tmp_path / "run", []
    at_step(step, terminate)
    run = Run(experiment=tiny_experiment(), data=str(crowd))
    stopped = begin(run, folder, device="cpu", say=said.append)
    assert (stopped.finished, stopped.stopped_by) == (False, signal.SIGTERM)
    assert said[-1] == f"stopped; go on with `uncrowd train --resume {folder}`"
    assert not (folder / "weights.safetensors").exists()
    assert resume(folder, device="cpu", say=said.append).finished
    assert f"resumed at epoch {step // 4}, step {step % 4 + 1}" in said
    assert_same_end(folder, finished)


@pytest.mark.usefixtures("no_report")
def test_stopped_and_resumed_with_every_choice_on(crowd: Path, tmp_path: Path, at_step: AtStep) -> None:
    tiny = tiny_experiment(recompute=True, patience=1, rare_below=0.9)
    augment = replace(
        tiny.augment,
        mosaic=MosaicConfig(probability=0.3),
        paste=PasteConfig(probability=1.0),
        affine=AffineConfig(probability=0.8),
        colour=ColourConfig(probability=0.8),
        blur=BlurConfig(probability=0.5),
        noise=NoiseConfig(probability=0.5),
    )
    run = Run(experiment=replace(tiny, augment=augment), data=str(crowd))
    assert begin(run, tmp_path / "whole", device="cpu").finished
    at_step(2, terminate)
    assert not begin(run, tmp_path / "run", device="cpu").finished
    assert resume(tmp_path / "run", device="cpu").finished
    assert_same_end(tmp_path / "run", tmp_path / "whole")


@pytest.mark.usefixtures("no_report")
def test_stopped_again_and_again(crowd: Path, finished: Path, tmp_path: Path, at_step: AtStep) -> None:
    run, folder = Run(experiment=tiny_experiment(), data=str(crowd)), tmp_path / "run"
    at_step(0, terminate)
    assert not begin(run, folder, device="cpu").finished
    for step in (2, 4):
        at_step(step, terminate)
        assert not resume(folder, device="cpu").finished
    assert resume(folder, device="cpu").finished
    assert_same_end(folder, finished)


@pytest.mark.usefixtures("no_report")
def test_resumed_elsewhere(crowd: Path, finished: Path, tmp_path: Path, at_step: AtStep) -> None:
    """The run and its data have moved, as for a run that can only be read: a copy continues with the data elsewhere."""
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    at_step(5, terminate)
    assert not begin(Run(experiment=tiny_experiment(), data=str(crowd)), folder, device="cpu").finished
    before = {file.name: file.read_bytes() for file in folder.glob("*.*")}
    shutil.copytree(crowd, elsewhere)
    assert resume(folder, data=str(elsewhere), out=tmp_path / "out", device="cpu").finished
    assert_same_end(tmp_path / "out", finished)
    assert config.load(Run, tmp_path / "out" / "config.json").data == str(elsewhere)
    assert {file.name: file.read_bytes() for file in folder.glob("*.*")} == before


@pytest.mark.usefixtures("no_report")
def test_workers_change_nothing(crowd: Path, finished: Path, tmp_path: Path, at_step: AtStep) -> None:
    """They are stopped with the run, and started again when it is resumed."""
    folder = prepare(tmp_path / "run", crowd, workers=2)
    at_step(2, terminate)
    assert not resume(folder, device="cpu").finished
    assert resume(folder, device="cpu").finished
    for name in ("best", "weights"):  # the checkpoint names the number of workers
        assert (folder / f"{name}.safetensors").read_bytes() == (finished / f"{name}.safetensors").read_bytes()
    assert logged(folder) == logged(finished)


@pytest.mark.usefixtures("no_report")
def test_killed_in_an_evaluation(crowd: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation is repeated, but no step."""

    class Killed(BaseException):
        pass

    def killed(self: Scoring, *_: Any) -> None:
        raise Killed

    folder, said = tmp_path / "run", []
    with monkeypatch.context() as patch:
        patch.setattr(Scoring, "improved", killed)  # after the scores were logged, before the checkpoint
        with pytest.raises(Killed):
            begin(Run(experiment=tiny_experiment(), data=str(crowd)), folder, device="cpu")
    assert [row["kind"] for row in logged(folder)] == ["train"] * 4 + ["eval"]
    assert resume(folder, device="cpu", say=said.append).finished
    assert "resumed at epoch 0, step 4" in said
    assert_same_end(folder, finished)


@pytest.mark.usefixtures("no_report")
def test_killed_while_the_results_were_written(
    crowd: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("uncrowd.runs.scoring.write_report", killed)
        with pytest.raises(Killed):
            begin(Run(experiment=tiny_experiment(), data=str(crowd)), folder, device="cpu")
    assert resume(folder, device="cpu").finished
    assert_same_end(folder, finished)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.usefixtures("no_report")
def test_kill_9(crowd: Path, tmp_path: Path, start: Callable[..., Process]) -> None:
    """The run is killed at step 6, with a checkpoint of step 5. Both are within an epoch, while workers load images."""
    whole, killed = (prepare(tmp_path / n, crowd, checkpoint_every=5, workers=2) for n in ("whole", "killed"))
    process = start("-c", KILLED_AT, str(killed), "6")
    assert resume(whole, device="cpu").finished
    assert process.end() == -signal.SIGKILL, process.err
    said: list[str] = []
    assert resume(killed, device="cpu", say=said.append).finished
    assert "resumed at epoch 1, step 1" in said
    assert_same_end(killed, whole)


@pytest.mark.usefixtures("no_report")
def test_interrupted_before_the_first_checkpoint(crowd: Path, finished: Path, tmp_path: Path, at_step: AtStep) -> None:
    def kill() -> None:
        raise SystemExit

    folder, said = tmp_path / "run", []
    at_step(2, kill)
    with pytest.raises(SystemExit):
        begin(Run(experiment=tiny_experiment(), data=str(crowd)), folder, device="cpu")
    assert not (folder / "last.safetensors").exists()
    assert resume(folder, device="cpu", say=said.append).finished
    assert "the run was interrupted before its first checkpoint, so it begins again" in said
    assert_same_end(folder, finished)


@pytest.mark.usefixtures("no_report")
def test_memory_that_ran_out(crowd: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It happens in step 5, with the allocator's own error. The checkpoint is from step 4."""

    def use_too_much(self: Learner, *arguments: Any, original: Callable[..., Any] = Learner._losses) -> Any:
        if arguments[-1].step == 5:
            torch.empty(1 << 50)  # 4 PiB
        return original(self, *arguments)

    folder, said = tmp_path / "run", []
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "_losses", use_too_much)
        with pytest.raises(InputError, match=r"^Memory ran out at step 5, with 4 images padded to "):
            begin(Run(experiment=tiny_experiment(), data=str(crowd)), folder, device="cpu")
    assert resume(folder, device="cpu", say=said.append).finished
    assert "resumed at epoch 1, step 0" in said
    assert_same_end(folder, finished)


def test_a_second_ctrl_c_ends_it_at_once(crowd: Path, tmp_path: Path, at_step: AtStep) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    # A shell that starts the tests in the background lets them ignore Ctrl-C.
    given = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    at_step(1, twice)
    with pytest.raises(KeyboardInterrupt):
        begin(Run(experiment=tiny_experiment(), data=str(crowd)), tmp_path / "run", device="cpu")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    signal.signal(signal.SIGINT, given)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc, which tell who sent a signal")
def test_sigterm_to_every_process_twice(crowd: Path, tmp_path: Path, start: Callable[..., Process]) -> None:
    """Slurm signals every process of a job, also those that load images, and a launcher signals the training again."""
    folder = prepare(tmp_path / "run", crowd, epochs=1000, workers=2, evaluate_every=1000)
    process = start("-m", "uncrowd", "train", "--resume", str(folder), "--device", "cpu")
    process.wait_for(lambda: len(read_metrics(folder / "metrics.jsonl")) > 2 and len(process.descendants()) >= 2)
    workers = process.descendants()
    for _ in range(2):
        for pid in [*workers, process.process.pid]:
            os.kill(pid, signal.SIGTERM)
    assert process.end() == 143, process.err
    assert process.out.splitlines()[-1] == f"stopped; go on with `uncrowd train --resume {folder}`"
    assert process.err == ""
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers), "no worker is left"
    assert (folder / "last.safetensors").exists()
    last = read_metrics(folder / "metrics.jsonl")[-1]
    assert last["step"] < 4000
