"""torchvision's detectors learn from our engine, end the same when stopped, and detect as the library does."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.claims.datasets import DrawnCrowds
from benchmarks.claims.run import Places, read_lines, run_line
from benchmarks.claims.settings import Budget, Line
from benchmarks.claims.suppression import nms
from benchmarks.claims.torchvision_model import Kind, TorchvisionModel
from benchmarks.claims.torchvision_peers import TorchvisionDetector

from tests.tiny import TINY_MODEL, tiny_experiment
from uncrowd.engine.train import Trainer
from uncrowd.structures import Batch, Categories, Target

KINDS: tuple[Kind, ...] = ("faster-rcnn", "fcos")
CPU = torch.device("cpu")
ONE_CLASS = Categories(ids=(1,), names=("person",))


def line(kind: Kind) -> Line:
    detector = TorchvisionDetector(kind=kind, recipe=tiny_experiment(), learning_rate=1e-3)
    return Line(
        dataset=DrawnCrowds(overlap=0.1, size=(64, 96), objects=(2, 4), train=8, val=2, test=2),
        detector=detector,
        budget=Budget(name="tiny", steps=4, batch=4, evaluations=2, ema_decay=0.9),
        seed=1,
    )


def nothing(text: str) -> None:
    """Says nothing."""


def batch(count: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 64, 96), generator=generator, dtype=torch.uint8)
    boxes = torch.tensor([[10.0, 10, 30, 50], [20.0, 12, 45, 60]])
    targets = [Target(boxes=boxes, labels=torch.zeros(2).long(), ignored=torch.zeros(0, 4), size=(64, 96))] * count
    sizes = torch.tensor([[64, 96]] * count)
    return Batch(
        images=images, sizes=sizes, targets=targets, ids=list(range(count)), image_sizes=[(64, 96)] * count, skipped=[]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_line_goes_on_and_ends_the_same(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Places(work=tmp_path / "work", results=tmp_path / "whole")
    stopped = Places(work=tmp_path / "again", results=tmp_path / "stopped")
    for places in (whole, stopped):
        places.results.mkdir()
    assert run_line(line(kind), whole, device="cpu", say=nothing)
    record = read_lines(whole.lines)[line(kind).name]
    assert record["name"] == f"drawn-0.1_{kind}-1_tiny_1"
    assert {record["output"], *record["other_outputs"]} >= {"soft-nms"}
    assert [each["images"] for each in record["evaluations"]] == [8, 16]
    assert record["learning_rate"] == 1e-3

    original = Trainer._step

    def stop_at_step_3(self: Trainer, batch: Batch) -> Any:
        if self.global_step == 3:
            signal.raise_signal(signal.SIGTERM)
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop_at_step_3)
        assert not run_line(line(kind), stopped, device="cpu", say=nothing)
    assert run_line(line(kind), stopped, device="cpu", say=nothing)
    again = read_lines(stopped.lines)[line(kind).name]
    assert {**again, "seconds": 0} == {**record, "seconds": 0}
    assert stopped.detections(line(kind)).read_bytes() == whole.detections(line(kind)).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_nms_after_the_fact_is_the_library_s_own(kind: Kind) -> None:
    torch.manual_seed(0)
    model = TorchvisionModel(kind, replace(TINY_MODEL, num_classes=1), 1, (1.0, 2.0, 3.0), CPU, most=4).eval()
    given = batch(2)
    found = model.candidates(given, ONE_CLASS, CPU)
    part: Any = model.detector.roi_heads if kind == "faster-rcnn" else model.detector
    part.nms_thresh = 0.5
    for ours, theirs in zip(found, model.candidates(given, ONE_CLASS, CPU), strict=True):
        kept = nms(ours, iou=0.5, most=10_000)
        assert 0 < len(theirs) == len(kept) < len(ours)
        assert kept.boxes.equal(theirs.boxes)
        assert kept.scores.equal(theirs.scores)


@pytest.mark.parametrize("kind", KINDS)
def test_its_loss_falls_on_one_batch(kind: Kind) -> None:
    torch.manual_seed(0)
    model = TorchvisionModel(kind, replace(TINY_MODEL, num_classes=1), 1, (1.0, 2.0, 3.0), CPU, most=4).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    given, losses = batch(2), []
    for step in range(8):
        torch.manual_seed(step)
        loss = model.losses(model(given.images, given.sizes), given.targets, 1.0, 2)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(loss.total.item())
    assert losses[-1] < 0.8 * losses[0]
