"""Writes a detector as a folder with a page that detects in a browser, without a network.

A page that is opened from the disk may read scripts, but no other files. So the detector and its runtime are written as
scripts that hold them as base64.
"""

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from uncrowd.argument_types import checked_types
from uncrowd.browser.runtime import read_runtime
from uncrowd.inference.export_file import export
from uncrowd.inference.exported import ExportedDescription
from uncrowd.inference.onnx_detector import OnnxDetector, import_for_onnx
from uncrowd.thresholds import DEFAULT_THRESHOLD, of_each_class
from uncrowd.whole_file import require_new_folder, whole_folder

HTML = Path(__file__).with_name("html")
INDEX = "index.html"
# Bytes of a script before base64: browsers limit the length of a text, and show progress after each script.
PART = 8 * 2**20


@checked_types(detector="a weights file, the folder of a run, or an ONNX file", folder="the name of a new folder")
def export_page(
    detector: str | Path,
    folder: str | Path,
    *,
    runtime: str | Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Writes a folder whose index.html detects in a browser, and returns that file; it opens by double-click.

    detector: a weights file, a run's folder, or an ONNX file that `export` wrote. folder: one that does not exist or is
    empty. runtime: the file of ONNX Runtime Web that `npm pack` downloads; by default npm gets it. say: as in `export`.
    The folder is written complete or not at all. Raises as `export` does, and InputError when the folder exists or
    cannot be written, and when ONNX Runtime Web cannot be got.
    """
    source, folder = Path(detector), Path(folder)
    require_new_folder(folder)
    notices = Path(import_for_onnx("onnxruntime").__file__).parent
    files = read_runtime(None if runtime is None else Path(runtime))._asdict()
    with TemporaryDirectory() as temporary:
        if source.suffix.lower() != ".onnx":
            exported = Path(temporary) / "detector.onnx"
            export(source, exported, say=say)
            source = exported
        description = OnnxDetector.load(source, "cpu").description
        files["model"] = source.read_bytes()
    with whole_folder(folder) as beside:
        _write(beside, description, files, notices)
    return folder / INDEX


def _write(folder: Path, description: ExportedDescription, files: dict[str, bytes], notices: Path) -> None:
    """Writes the page. notices: the folder with the license of ONNX Runtime, which ONNX Runtime Web does not bring."""
    shutil.copytree(HTML, folder, dirs_exist_ok=True)
    (folder / "data").mkdir()
    parts = {name: _write_parts(folder, name, content) for name, content in files.items()}
    about = json.dumps(_about(description) | {"files": parts}, indent=1)
    (folder / "data" / "about.js").write_text(f"const ABOUT = {about};\n", encoding="utf-8")
    for name in ("LICENSE", "ThirdPartyNotices"):
        [text] = notices.glob(f"{name}*")
        shutil.copyfile(text, folder / f"onnxruntime-{name}.txt")


def _write_parts(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    """Writes a file as scripts that call `takeBytes`, and returns its length and their names."""
    scripts = []
    for begin in range(0, len(content), PART):
        path = f"data/{name}-{len(scripts) + 1}.js"
        base64 = b64encode(content[begin : begin + PART]).decode()
        (folder / path).write_text(f'takeBytes("{base64}");\n', encoding="ascii")
        scripts.append(path)
    return {"bytes": len(content), "scripts": scripts}


def _about(description: ExportedDescription) -> dict[str, Any]:
    """Returns what the page knows about its detector; thresholds: of each class, by label, or None."""
    categories, thresholds = description.categories, description.thresholds
    return {
        "names": categories.unique_names,
        "ids": categories.ids,
        "preprocessing": {
            "short_side": description.preprocessing.short_side,
            "max_size": description.preprocessing.max_size,
        },
        "proposals": description.model.proposals if description.model.any_proposals else None,
        "thresholds": None if thresholds is None else of_each_class(thresholds.f1, categories.names),
        "threshold": DEFAULT_THRESHOLD,
    }
