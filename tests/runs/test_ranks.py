"""Two processes that torchrun starts train as one does, and stop together."""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.runs.process import Process, prepare
from tests.tiny import tiny_experiment
from uncrowd.data.transforms import TrainTransformConfig
from uncrowd.engine.metrics import read_metrics
from uncrowd.engine.optim import OptimConfig
from uncrowd.models.build import build_detector
from uncrowd.recipes import Experiment
from uncrowd.runs.run import resume

ROUNDING = 1e-3  # as a share of a loss or a score
OF_NORM = 5e-3  # as a share of a gradient's norm
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "uncrowd")


def one_size(**training: int) -> Experiment:
    """Returns an experiment in which two ranks differ from one only by rounding.

    All images have one size, because each rank pads its images to the largest of its own. The steps are small, because
    Adam makes full steps even where a gradient is only rounding. There is one stage, because a later one may pool
    outside the image, where layer norms amplify rounding.
    """
    experiment = tiny_experiment(epochs=1000, **training)
    return replace(
        experiment,
        model=replace(experiment.model, stages=1),
        augment=TrainTransformConfig(short_sides=(64,), max_size=96),
        optim=OptimConfig(learning_rate=3e-5, warmup_steps=0, milestones=()),
    )


def rows(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["kind"], row["step"]): row for row in read_metrics(folder / "metrics.jsonl")}


@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
@pytest.mark.usefixtures("no_report")
def test_two_ranks_are_one_and_stop_at_one_step(
    crowd: Path, tmp_path: Path, start: Callable[..., Process], at_step: Callable[[int, Callable[[], None]], None]
) -> None:
    """Both accumulate. If they disagreed on when to stop, one would wait for the other until it is killed."""
    two = prepare(tmp_path / "two", crowd, one_size(accumulate=2))
    process = start(*TORCHRUN, "train", "--resume", str(two), "--device", "cpu")
    process.wait_for(lambda: ("eval", 4) in rows(two))
    descendants = process.descendants()
    os.kill(process.process.pid, signal.SIGTERM)
    process.end()

    assert f"stopped; go on with `uncrowd train --resume {two}`" in process.out
    for text in ("COCO JSON", "scored on", "backbone:", "step 4/", "after epoch 1,", "stopped"):
        assert process.out.count(text) == 1, f"only rank 0 says {text!r}"
    assert "SIGKILL" not in process.err
    assert "Warning" not in process.err
    assert not any(Path(f"/proc/{pid}").exists() for pid in descendants), "nobody is left"

    done = len([key for key in rows(two) if key[0] == "train"])
    one = prepare(tmp_path / "one", crowd, one_size())
    at_step(done - 1, lambda: signal.raise_signal(signal.SIGTERM))
    assert not resume(one, device="cpu").finished
    assert_same_but_for_rounding(two, one)


@pytest.mark.usefixtures("no_report")
def test_a_step_with_dense_queries_is_the_same_on_two_ranks(
    crowd: Path, tmp_path: Path, start: Callable[..., Process]
) -> None:
    """Each rank draws its own number of queries, but there are no more than the points of an image."""
    experiment = one_size(batch_size=16)
    dense = replace(
        experiment,
        model=replace(experiment.model, queries="dense", proposals=300),
        train=replace(experiment.train, epochs=1, ema_decay=None),
    )
    two, one = (prepare(tmp_path / name, crowd, dense) for name in ("two", "one"))
    process = start(*TORCHRUN, "train", "--resume", str(two), "--device", "cpu")
    assert process.end() == 0, process.err
    assert resume(one, device="cpu").finished
    of_two, of_one = (rows(folder)["train", 1] for folder in (two, one))
    for name in ("loss", "class", "l1", "giou", "gradient_norm"):
        assert of_two[name] == pytest.approx(of_one[name], rel=ROUNDING), name
    ours, theirs = (load_file(folder / "last.safetensors") for folder in (two, one))
    gradients = [key for key in theirs if key.startswith("optimizer.exp_avg.")]
    assert any("dense_head.auxiliary" in key for key in gradients)
    assert any("selection.to_query" in key for key in gradients)
    for key in gradients:
        assert (ours[key] - theirs[key]).norm() <= 0.01 * theirs[key].norm(), key


def assert_same_but_for_rounding(folder: Path, expected: Path) -> None:
    """Two ranks compute convolutions of smaller batches, so a value near 0 may fall on either side of a ReLU."""
    assert list(rows(folder)) == list(rows(expected))
    for key, row in rows(expected).items():
        for name in {"loss", "class", "l1", "giou", "gradient_norm", "AP", "AP50", "AR@100"} & row.keys():
            rounding = OF_NORM if name == "gradient_norm" else ROUNDING
            assert rows(folder)[key][name] == pytest.approx(row[name], rel=rounding), (key, name)

    found = [json.loads((run / "detections.json").read_text()) for run in (folder, expected)]
    ours, theirs = (sorted((record["image_id"], record["score"]) for record in records) for records in found)
    assert [image for image, _ in ours] == [image for image, _ in theirs]
    assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], rel=ROUNDING)

    ours, theirs = (load_file(run / "last.safetensors") for run in (folder, expected))
    assert ours.keys() == theirs.keys()
    weights = [key for key in theirs if key.startswith("model.")]
    apart = torch.cat([(ours[key] - theirs[key]).abs().flatten() for key in weights])
    torch.manual_seed(0)
    fresh = build_detector(one_size().model).state_dict()
    moved = torch.cat([(theirs[key] - fresh[key[6:]]).abs().flatten() for key in weights])
    assert (apart < 1e-5).float().mean() > 0.999
    assert (moved > 3e-5).float().mean() > 0.5, "they moved by more than that"
    for key in weights:
        gradient = f"optimizer.exp_avg.{key[6:]}"  # its average over the steps
        # a wrong factor for a rank or a micro-batch would change it by a half or more
        assert (ours[gradient] - theirs[gradient]).norm() <= 0.1 * theirs[gradient].norm(), key
