"""An exported detector finds what its model finds: at any batch size, any size of image, and boxes anywhere."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import uncrowd
from tests.exported import Exported, symbolic_shapes
from tests.inference.cases import CATEGORIES, RESIZE, random_image
from tests.inference.onnx_script import run_script
from tests.paper.parity import CHOICES, TOLERANCE, load_head
from tests.tiny import TINY_MODEL
from uncrowd import InputError, Predictor
from uncrowd.data.transforms import ResizeConfig
from uncrowd.inference import export, export_file
from uncrowd.inference.export_check import made_up
from uncrowd.inference.exported import METADATA, ExportedDescription
from uncrowd.inference.onnx_detector import OnnxDetector
from uncrowd.models.backbone import Backbone, BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.detector import Detector
from uncrowd.models.detr import DETR, DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.ops.roi_align import assign_levels
from uncrowd.structures import Decoded
from uncrowd.weights.file import load_weights, save_weights

SIZES = [
    [(64, 96)],
    [(1, 50)],
    [(33, 200), (70, 31)],
    [(97, 130), (120, 90), (101, 151)],
    [(500, 620)],
]


def assert_same(ours: Decoded, theirs: Decoded, *, boxes: float = 1e-4, scores: float = 2e-5) -> None:
    largest = theirs.boxes.abs().amax(dim=-1, keepdim=True)  # coordinate: rounding errors are in proportion to it
    torch.testing.assert_close(ours.boxes / largest, theirs.boxes / largest, rtol=0, atol=boxes)
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=scores)
    assert torch.equal(ours.labels, theirs.labels)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_it_finds_what_its_model_finds(exported: Exported, sizes: list[tuple[int, int]]) -> None:
    images, network_sizes = made_up(sizes, seed=0)
    ours = OnnxDetector.load(exported.onnx).detect(images, network_sizes)
    assert_same(ours, exported.model.detect(images, network_sizes))


def test_boxes_of_the_test_are_on_all_levels_and_outside_the_image(exported: Exported) -> None:
    with torch.inference_mode():
        for boxes in (output.boxes[0] for output in exported.model(*made_up([(500, 620)], seed=0))):
            assert set(assign_levels(boxes, 4).tolist()) == {0, 1, 2, 3}
            assert (boxes[:, :2] < -50).any()
            assert (boxes[:, 2] > 620 + 50).any()
            assert ((boxes[:, 2:] < 0) | (boxes[:, :2] > torch.tensor([620, 500]))).any(), "wholly outside"


def test_the_file_describes_itself(exported: Exported) -> None:
    file = onnx.load(exported.onnx)
    onnx.checker.check_model(file)
    (metadata,) = file.metadata_props
    assert metadata.key == METADATA
    said = json.loads(metadata.value)
    assert said["categories"] == {"ids": [3, 17], "names": ["dark", "bright"]}
    assert (said["preprocessing"], said["multiple"]) == ({"short_side": 48, "max_size": 96}, 32)
    assert OnnxDetector.load(exported.onnx).description == ExportedDescription(
        model=exported.model.config,
        categories=exported.categories,
        preprocessing=exported.resize,
        multiple=32,
        thresholds=load_weights(exported.weights).thresholds,
    )
    assert [value.name for value in (*file.graph.input, *file.graph.output)] == [
        *("images", "sizes"),
        *("boxes", "scores", "labels"),
    ]
    content = exported.onnx.read_bytes()
    assert str(Path(uncrowd.__file__).parent).encode() not in content, (
        "the file must not hold paths of the machine that made it"
    )
    weights = sum(tensor.numel() * 4 for tensor in exported.model.state_dict().values())
    assert weights < len(content) < 1.5 * weights


SMALL_DETR = DETRConfig(
    num_classes=3,
    proposals=10,
    backbone=TINY_MODEL.backbone,
    attention="iou",
    interaction="dcw",
    width=32,
    heads=4,
    encoder_layers=1,
    decoder_layers=2,
    feedforward_width=64,
)
ORIGINAL = replace(
    TINY_MODEL, stages=1, stage=replace(TINY_MODEL.stage, attention="content", interaction="entangled", pooled_size=2)
)


@pytest.mark.parametrize("model", [SparseRCNN(ORIGINAL), DETR(SMALL_DETR)], ids=["original", "detr"])
def test_other_detectors(model: Detector, tmp_path: Path) -> None:
    """Exports for one size only, which takes a third of the time."""
    images, sizes = made_up([(64, 90), (61, 96)], seed=0)
    found = Decoded(*run(export.Detecting(model), (images, sizes), tmp_path))
    assert_same(found, model.detect(images, sizes))


def test_shifted_windows_of_swin_serve_all_sizes(tmp_path: Path) -> None:
    """Exports one block, in which a small image has one window, because exporting all of Swin-T takes minutes."""
    stage = Backbone(BackboneConfig(name="swin_tiny_patch4_window7_224")).body.get_submodule("layers_2")
    shifted = nn.Sequential(stage.get_submodule("downsample"), stage.get_submodule("blocks.1"))
    images, height, width = export.TRACED
    traced = torch.randn(images, height // 8, width // 8, 192)
    free = ({0: "batch", 1: "height", 2: "width"},)
    export.to_onnx(shifted, (traced,), dynamic_shapes=free, optimize=False).save(tmp_path / "block.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "block.onnx")
    for images, height, width in [(1, 4, 6), (3, 14, 16), (1, 50, 34)]:
        maps = torch.randn(images, height, width, 192)
        (found,) = run_session(session, (maps,))
        torch.testing.assert_close(found, shifted(maps), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CHOICES)
def test_the_head_computes_what_the_releases_compute(name: str, tmp_path: Path) -> None:
    """The test of tests/paper/test_parity.py, through ONNX."""
    head, given, _, tensors = load_head(name, torch.float32)
    features = [given[level] for level in ("p2", "p3", "p4", "p5")]
    queries = given["queries"].expand(len(given["proposal_boxes"]), -1, -1)
    outputs = run(head, (features, given["proposal_boxes"], queries), tmp_path, optimize=False)  # takes half the time
    names = [f"stage{stage}/{kind}" for stage in range(3) for kind in ("class_logits", "boxes", "queries")]
    relative, absolute = TOLERANCE[torch.float32]
    for ours, expected in zip(outputs, (tensors[name] for name in names), strict=True):
        assert (ours - expected).abs().max() <= relative * expected.abs().max() + absolute


def weighted_rows(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Computes sums as RoIAlign does."""
    return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)


class Sums(nn.Module):
    def forward(self, rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        return weighted_rows(rows, index, weight)


def sums_of_rows() -> torch.onnx.ONNXProgram:
    arguments = (torch.randn(20, 8), torch.zeros(40, 3, dtype=torch.int64), torch.randn(40, 3))
    with symbolic_shapes():
        return export.to_onnx(Sums(), arguments, dynamic_shapes=(None, {0: "k"}, {0: "k"}))


def test_any_number_of_sums_is_computed_in_portions(tmp_path: Path) -> None:
    sums_of_rows().save(tmp_path / "sums.onnx")
    rows = torch.randn(20, 8)
    session = onnxruntime.InferenceSession(tmp_path / "sums.onnx")
    for sums in (1, 2, 15, 16, 17, 40, 100):
        given = (rows, torch.randint(0, 20, (sums, 3)), torch.randn(sums, 3))
        (ours,) = run_session(session, given)
        torch.testing.assert_close(ours, weighted_rows(*given))


def test_a_file_that_fails_the_check_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_check(*_: object, **__: object) -> None:
        raise RuntimeError("it finds other objects")

    weights = tmp_path / "weights.safetensors"
    save_weights(weights, SparseRCNN(TINY_MODEL), CATEGORIES, RESIZE)
    monkeypatch.setattr(export_file, "check", no_check)
    monkeypatch.setattr(export_file, "load_exported", lambda *_: None)
    monkeypatch.setattr(export_file, "write_onnx", lambda file, *_, **__: file.touch())
    with pytest.raises(RuntimeError, match="it finds other objects"):
        uncrowd.export(weights, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}, which is not installed; pip install 'uncrowd\[export\]'\."):
        uncrowd.export(tmp_path / "weights.safetensors", tmp_path / "a.onnx")


def run(module: nn.Module, arguments: tuple, folder: Path, optimize: bool = True) -> list[Tensor]:
    """Exports the module for the sizes of these arguments, and returns what ONNX Runtime computes from them."""
    with symbolic_shapes():
        export.to_onnx(module, arguments, optimize=optimize).save(folder / "module.onnx")
    flat = [x for argument in arguments for x in (argument if isinstance(argument, list) else [argument])]
    return run_session(onnxruntime.InferenceSession(folder / "module.onnx"), flat)


def run_session(session: onnxruntime.InferenceSession, arguments: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    names = [value.name for value in session.get_inputs()]
    outputs = session.run(None, {name: x.numpy() for name, x in zip(names, arguments, strict=True)})
    return [torch.from_numpy(output) for output in outputs]


def test_a_file_with_dense_queries_takes_their_number_and_a_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    dense = replace(TINY_MODEL, stages=1, queries="dense", lower_duplicates=3.0)  # one stage takes half the time
    model = build_detector(dense).eval()
    with symbolic_shapes():
        export.write_onnx(tmp_path / "dense.onnx", model, CATEGORIES, ResizeConfig(short_side=64, max_size=96))
    images, sizes = made_up([(97, 130), (120, 90)], seed=0)
    ours = OnnxDetector.load(tmp_path / "dense.onnx", "cpu").detect(images, sizes)
    # Small boxes far from the origin: torch's own scores are 3e-5 from those in double precision.
    assert_same(ours, model.detect(images, sizes), boxes=1e-3, scores=1e-4)
    for proposals, found in ((3, 3), (500, 420)):  # an image has 420 points
        more = build_detector(replace(dense, proposals=proposals)).eval()
        more.load_state_dict(model.state_dict())
        predictor = uncrowd.load(tmp_path / "dense.onnx", "cpu", proposals=proposals)
        assert isinstance(predictor.model, OnnxDetector)
        ours = predictor.model.detect(images, sizes)
        assert ours.boxes.shape == (2, found, 4)
        # Rounding decides the order of detections with nearly equal scores, so that boxes cannot be compared in order.
        torch.testing.assert_close(ours.scores, more.detect(images, sizes).scores, rtol=0, atol=1e-4)
    larger = uncrowd.load(tmp_path / "dense.onnx", "cpu", short_side=96)
    assert larger.resize == ResizeConfig(short_side=96, max_size=144)
    image = random_image(64, 80)
    expected = Predictor(model, CATEGORIES, larger.resize).predict(image)
    torch.testing.assert_close(larger.predict(image).scores, expected.scores, rtol=0, atol=1e-4)
    Image.fromarray(image).save(tmp_path / "image.png")
    by_script = run_script(tmp_path / "dense.onnx", tmp_path / "image.png", tmp_path)
    assert len(by_script) == len(uncrowd.load(tmp_path / "dense.onnx", "cpu").predict(tmp_path / "image.png")) > 5
    refused: list[dict[str, Any]] = [{"bf16": True}, {"compiled": True}, {"one_label": True}]
    for option in refused:
        with pytest.raises(InputError, match="An exported detector runs as it was exported; leave bf16, comp"):
            uncrowd.load(tmp_path / "dense.onnx", "cpu", **option)
