"""Opens a page in a headless Chromium, and has it detect."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from playwright.sync_api import Page, sync_playwright
from torch import Tensor

from uncrowd.structures import Decoded

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PATIENCE = 300_000  # milliseconds, on a busy machine
DETECT = """async ({ pixels, height, width }) => {
  const { found } = await detector.detectResized({ pixels: Uint8Array.from(pixels), height, width });
  return [[...found.boxes], [...found.scores], found.labels];
}"""


class Opened(NamedTuple):
    """A page in the browser. requests: the addresses that it has asked for so far."""

    page: Page
    folder: Path
    requests: list[str]


class InFile(NamedTuple):
    """What the page found in a file, in its pixels, and the seconds that the detector took."""

    found: Decoded
    seconds: float


def chromium() -> str | None:
    """Returns the browser of this machine, or None."""
    return next((path for path in map(shutil.which, CHROMIUM) if path is not None), None)


@contextmanager
def opening(index: Path, browser: str) -> Iterator[Opened]:
    """Opens a page from the disk and waits until its detector is ready. browser: of `chromium`."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        page, requests = started.new_page(), []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(index.as_uri(), wait_until="commit")
        page.get_by_text("The detector is ready.").wait_for()
        yield Opened(page, index.parent, requests)
        started.close()


def detect_resized(opened: Opened, image: UInt8[Tensor, "3 h w"]) -> Decoded:
    """Returns what the page finds in the pixels that the network gets, in these pixels."""
    given = {"pixels": image.flatten().tolist(), "height": image.shape[1], "width": image.shape[2]}
    boxes, scores, labels = map(torch.tensor, opened.page.evaluate(DETECT, given))
    return Decoded(boxes.reshape(1, -1, 4), scores[None], labels[None])


def detect_file(opened: Opened, file: Path) -> InFile:
    """Chooses a file in the page and returns what is found, without a threshold."""
    opened.page.get_by_label("Choose an image").set_input_files(file)
    opened.page.get_by_text(f"{file.name}, ").filter(has_text="took").wait_for()
    shown = opened.page.evaluate("({ ...state.image, bitmap: null })")
    boxes, scores, labels = (
        torch.tensor([[found[what] for found in shown["detections"]]]) for what in ("box", "score", "label")
    )
    return InFile(Decoded(boxes, scores, labels), shown["milliseconds"] / 1000)
