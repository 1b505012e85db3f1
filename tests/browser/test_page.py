"""The page finds in a browser what Python finds, shows and saves it, sends nothing, and says what is wrong."""

import csv
import io
import json
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import uncrowd
from tests.browser.opened import Opened, detect_file, detect_resized
from tests.exported import Exported
from uncrowd.data.transforms import ResizeConfig, resize
from uncrowd.errors import InputError
from uncrowd.inference.export_check import differences, made_up
from uncrowd.inference.onnx_detector import OnnxDetector
from uncrowd.structures import Decoded, Detections

SIZE = (97, 130)
DROP = """([base64, type, name]) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  transfer.items.add(new File([bytes], name, { type }));
  document.dispatchEvent(new %s);
}"""
PASTED = DROP % 'ClipboardEvent("paste", { clipboardData: transfer })'
DROPPED = DROP % 'DragEvent("drop", { dataTransfer: transfer, cancelable: true })'


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "crowd.v2.png"
    images, _ = made_up([SIZE], seed=3)
    Image.fromarray(images[0].permute(1, 2, 0).numpy()).save(path)
    return path


@pytest.fixture(scope="module")
def expected(exported: Exported, png: Path) -> Detections:
    return uncrowd.load(exported.onnx, "cpu").predict(png)


@pytest.fixture
def shown(opened: Opened, png: Path) -> Opened:
    """The page after an image was chosen and its threshold moved to 0."""
    detect_file(opened, png)
    opened.page.get_by_role("slider", name="Score of at least").fill("0")
    return opened


def saved(opened: Opened, button: str) -> tuple[str, str]:
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name=button).click()
    return download.value.suggested_filename, download.value.path().read_text(encoding="utf-8")


def of_nine_in_ten(found: Decoded, expected: Decoded, size: tuple[int, int]) -> list[float]:
    """Returns the differences (pixels, score) that nine of ten detections keep."""
    return differences(found, expected, torch.tensor([size])).quantile(0.9, dim=0, interpolation="higher").tolist()


@pytest.mark.parametrize(("height", "width"), [(97, 130), (40, 400), (64, 48), (1, 7)])
def test_it_resizes_as_python_does(opened: Opened, height: int, width: int) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rgba = np.dstack([pixels, np.full((height, width), 255, np.uint8)])
    given = [{"data": rgba.ravel().tolist(), "height": height, "width": width}, {"short_side": 48, "max_size": 96}]
    script = "(given) => { const made = resize(...given); return [[...made.pixels], made.height, made.width]; }"
    made, *size = opened.page.evaluate(script, given)
    expected = resize(pixels, ResizeConfig(short_side=48, max_size=96)).numpy()
    assert size == [*expected.shape[1:]]
    # torch rounds once on a processor without AVX2, and otherwise twice, as the page does
    exact = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    np.testing.assert_allclose(np.array(made).reshape(expected.shape), expected, atol=0 if exact else 1)


def test_it_detects_as_python_does_in_the_same_pixels(opened: Opened, exported: Exported) -> None:
    images, sizes = made_up([(48, 64)], seed=5)
    found, expected = detect_resized(opened, images[0]), OnnxDetector.load(exported.onnx, "cpu").detect(images, sizes)
    pixels, score = of_nine_in_ten(found, expected, (48, 64))
    assert pixels < 0.05
    assert score < 0.001


def test_it_saves_the_detections_of_a_file_as_python_finds_them(shown: Opened, expected: Detections) -> None:
    name, text = saved(shown, "Save JSON")
    assert name == "crowd.v2.json"
    [record] = json.loads(text)
    assert record["image"] == "crowd.v2.png"
    found = record["detections"]
    assert len(found) == len(expected) > 3
    assert {(one["class"], one["category_id"]) for one in found} <= {("dark", 3), ("bright", 17)}
    theirs = Decoded(expected.boxes[None], expected.scores[None], expected.labels[None])
    ours = Decoded(
        torch.tensor([[one["box_xyxy"] for one in found]]),
        torch.tensor([[one["score"] for one in found]]),
        torch.tensor([[("dark", "bright").index(one["class"]) for one in found]]),
    )
    pixels, score = of_nine_in_ten(ours, theirs, SIZE)
    assert pixels < 0.5
    assert score < 0.01

    name, text = saved(shown, "Save CSV")
    assert name == "crowd.v2.csv"
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["score"]) for row in rows] == [one["score"] for one in found]
    assert [[float(row[side]) for side in ("x1", "y1", "x2", "y2")] for row in rows] == [
        one["box_xyxy"] for one in found
    ]
    assert {row["image"] for row in rows} == {"crowd.v2.png"}


def test_it_counts_what_reaches_the_threshold(shown: Opened, expected: Detections) -> None:
    page = shown.page
    counts = page.locator("#counts td")
    middle = round(float(expected.scores.median()), 2)
    for least in (0.0, middle):
        page.get_by_role("slider", name="Score of at least").fill(str(least))
        kept = expected.above(least)
        assert page.locator("#least").inner_text() == f"{least:.2f}"
        assert page.get_by_role("img", name=f"{len(kept)} objects").is_visible()
        assert counts.all_inner_texts() == [str(count) for count in kept.counts.values()]
        assert page.locator("#rows tr").count() == len(kept)
    page.get_by_role("checkbox", name="Best threshold of each class").check()
    kept = expected.above({"dark": 0.4, "bright": 0.25})
    assert counts.all_inner_texts() == [str(count) for count in kept.counts.values()]


def test_an_image_can_be_dropped_and_pasted(opened: Opened, png: Path) -> None:
    for name, script in {"dropped.png": DROPPED, "pasted.png": PASTED}.items():
        opened.page.evaluate(script, [b64encode(png.read_bytes()).decode(), "image/png", name])
        opened.page.get_by_text(f"{name}, 130 x 97 pixels, took").wait_for()
        assert opened.page.get_by_role("alert").count() == 0


def test_what_is_wrong_is_said_on_the_page(opened: Opened, tmp_path: Path) -> None:
    alert = opened.page.get_by_role("alert")
    opened.page.evaluate(PASTED, [b64encode(b"hello").decode(), "text/plain", "notes.txt"])
    alert.filter(has_text="notes.txt is no image that this browser can read, or is too large").wait_for()
    opened.page.evaluate('document.dispatchEvent(new ClipboardEvent("paste"))')
    assert alert.inner_text() == "What was pasted is no file; give an image file, or copy an image."

    (opened.folder / "data" / "model-1.js").rename(tmp_path / "elsewhere.js")
    browser = opened.page.context.browser
    assert browser is not None
    other = browser.new_page()
    other.goto((opened.folder / "index.html").as_uri(), wait_until="commit")
    other.get_by_role("alert").wait_for(timeout=300_000)
    assert (
        other.get_by_role("alert").inner_text() == "data/model-1.js is missing beside this page; copy the whole folder."
    )
    (opened.folder / "data" / "model-1.js").write_text('takeBytes("')  # a copy that was cut off
    other.reload(wait_until="commit")
    other.get_by_role("alert").wait_for(timeout=300_000)
    assert other.get_by_role("alert").inner_text() == "data/model-1.js is damaged; copy the whole folder again."
    (tmp_path / "elsewhere.js").replace(opened.folder / "data" / "model-1.js")


def test_it_can_be_used_with_the_keyboard(shown: Opened) -> None:
    page, reached = shown.page, []
    page.get_by_label("Choose an image").focus()
    for _ in range(6):
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        page.keyboard.press("Tab")
    assert reached == ["file", "threshold", "of-each-class", "json", "csv", "SUMMARY"]
    slider = page.get_by_role("slider", name="Score of at least")
    slider.press("ArrowRight")
    assert page.locator("#least").inner_text() == "0.01"


def test_nothing_leaves_the_computer(shown: Opened) -> None:
    assert shown.page.get_by_text("nothing is uploaded").is_visible()
    assert len(shown.requests) > 8
    assert {address.partition(":")[0] for address in shown.requests} <= {"file", "blob", "data"}
    refused = shown.page.evaluate('fetch("http://127.0.0.1:9/").then(() => "sent", (error) => error.message)')
    assert refused == "Failed to fetch"


def test_the_licence_of_the_runtime_is_beside_the_page(opened: Opened) -> None:
    assert "MIT License" in (opened.folder / "onnxruntime-LICENSE.txt").read_text(encoding="utf-8")
    assert (opened.folder / "onnxruntime-ThirdPartyNotices.txt").stat().st_size > 10_000


def test_an_existing_folder_is_not_overwritten(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="exists already; name another folder"):
        uncrowd.export_page(exported.onnx, tmp_path)
