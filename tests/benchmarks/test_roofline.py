"""The benchmark runs at toy size, and its FLOPs and bytes are as counted by hand."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from benchmarks.parts import ATTENTION, BACKBONE, DYNAMIC, MODEL_PARTS, POOLING
from benchmarks.roofline import Arguments, BytesMoved, Limits, Seconds, Work, main, table
from torch.nn import functional as F  # noqa: N812

from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.cost import LAYER_NORM_MACS, measure
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig

TOY = ["--height", "64", "--width", "96", "--backbone", "resnet10t", "--stages", "1", "--proposals", "10"]
TOY += ["--stage.width", "32", "--stage.heads", "4", "--stage.dynamic-width", "8", "--stage.feedforward-width", "64"]
TOY += ["--matrix", "64", "--rounds", "2"]


def test_a_table_and_a_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "timings.jsonl"
    assert main([*TOY, "--precisions", "fp32", "bf16", "--append", str(file)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("a matrix product does") == 2
    assert "times off" in printed
    (record,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"commit", "machine", "device", "threads", "height", "proposals"} <= record.keys()
    assert record["results"].keys() == {"fp32", "bf16"}
    for result in record["results"].values():
        assert all(parts.keys() == set(MODEL_PARTS) for parts in result["seconds"]["parts"])
        assert [len(rounds) for rounds in result["seconds"].values()] == [2, 2]
        assert min(result["seconds"]["whole"]) > 0
        assert min(result["limits"].values()) > 0
        assert result["work"]["flops"][POOLING] == 0 < result["work"]["bytes"][POOLING]
    halves, wholes = (record["results"][precision]["work"]["bytes"] for precision in ("bf16", "fp32"))
    assert halves[DYNAMIC] < wholes[DYNAMIC]
    flops = record["results"]["fp32"]["work"]["flops"]
    assert sum(flops.values()) == flops_without_norms()
    assert 0 < flops[ATTENTION] < flops[BACKBONE]


def flops_without_norms() -> int:
    """Returns the FLOPs of the same model as the paper's tables count them, but without norms."""
    stage = StageConfig(width=32, heads=4, dynamic_width=8, feedforward_width=64)
    with torch.device("meta"):
        model = SparseRCNN(
            SparseRCNNConfig(proposals=10, stages=1, stage=stage, backbone=BackboneConfig(name="resnet10t"))
        )
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    outputs: list[int] = []
    for norm in norms:
        norm.register_forward_hook(lambda module, inputs, output: outputs.append(output.numel()))
    macs = sum(measure(model, 64, 96).macs.values())
    return 2 * (macs - LAYER_NORM_MACS * sum(outputs))


def test_bytes_are_those_that_are_read_and_written() -> None:
    rows, index = torch.zeros(1000, 8), torch.zeros(5, 2, dtype=torch.int64)
    with BytesMoved() as counter:
        rows.view(-1).unflatten(0, (8, -1)).transpose(0, 1)
    assert counter.total == 0
    with BytesMoved() as counter:
        _ = rows + rows[:1].expand(1000, 8)
    assert counter.total == 32_000 + 32_000 + 32_000
    with BytesMoved() as counter:
        F.embedding_bag(index, rows, mode="sum", per_sample_weights=torch.ones(5, 2))
    looked_up, written = 10 * 32, 5 * 32
    assert looked_up + written <= counter.total < 32_000


def test_a_part_is_compared_with_the_longer_of_its_two_least_times() -> None:
    """The part takes 4 seconds. At least it needs 1 for its FLOPs, and for its bytes first 2 and then 1."""
    for bytes_, expected in ((200, "2.0 (2.0 to 2.0)"), (100, "4.0 (4.0 to 4.0)  <-- far off")):
        work = Work(flops=Counter({BACKBONE: 50}), bytes=Counter({BACKBONE: bytes_}))
        limits = Limits(product=50, convolution=20, bytes=100)
        _, _, part, all_parts, whole = table("fp32", work, limits, Seconds([{BACKBONE: 4.0}], [2.0])).splitlines()
        assert part.endswith(expected)
        assert all_parts.endswith(expected)
        assert whole.split()[3] == "2000.00"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has tf32")
def test_tf32_is_for_gpus() -> None:
    with pytest.raises(InputError, match="leave it out of --precisions"):
        Arguments(precisions=("fp32", "tf32"))
