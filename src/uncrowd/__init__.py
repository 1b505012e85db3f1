"""End-to-end object detection in crowded images.

>>> predictor = uncrowd.load("runs/small-data-1")
>>> detections = predictor.predict("street.jpg", threshold=0.3)

`open_dataset` reads a dataset, `fetch_dataset` fetches one, `check_dataset` says what is wrong with it, `train` and
`resume` train a detector on it, `load` reads a trained one, `evaluate` scores it, `analyse` says what it gets wrong,
`draw` shows what it finds, `compare` says which of two is better, `track` follows objects through a video, `export`
writes a detector for ONNX Runtime or OpenVINO, `export_page` as a page for a browser, and `export_weights` as smaller
weights. `push_to_hub` and `from_pretrained` share detectors on the Hugging Face Hub. Where the input cannot be used,
they raise `InputError` with one sentence that says what is wrong and what to do.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from uncrowd.extras import extras_of

if TYPE_CHECKING:
    from uncrowd.browser.page import export_page as export_page
    from uncrowd.data.check.dataset import Checked as Checked
    from uncrowd.data.check.dataset import check_dataset as check_dataset
    from uncrowd.data.dataset import DetectionDataset as DetectionDataset
    from uncrowd.data.formats.open import open_dataset as open_dataset
    from uncrowd.data.hub.fetch import fetch_dataset as fetch_dataset
    from uncrowd.data.splits import Splits as Splits
    from uncrowd.data.video.read import Frame as Frame
    from uncrowd.data.video.read import Video as Video
    from uncrowd.errors import InputError as InputError
    from uncrowd.errors import NonFiniteError as NonFiniteError
    from uncrowd.errors import PeerLostError as PeerLostError
    from uncrowd.evaluation.analysis.errors import ErrorAnalysis as ErrorAnalysis
    from uncrowd.evaluation.analysis.table import error_table as error_table
    from uncrowd.evaluation.comparison.bootstrap import Comparison as Comparison
    from uncrowd.evaluation.comparison.bootstrap import ScoreDifference as ScoreDifference
    from uncrowd.evaluation.protocol import Scores as Scores
    from uncrowd.freed_memory import keep_freed_memory as keep_freed_memory
    from uncrowd.hub.card import model_card as model_card
    from uncrowd.hub.repository import from_pretrained as from_pretrained
    from uncrowd.hub.repository import push_to_hub as push_to_hub
    from uncrowd.inference.analyse import analyse as analyse
    from uncrowd.inference.compare import compare as compare
    from uncrowd.inference.draw import draw as draw
    from uncrowd.inference.evaluate import evaluate as evaluate
    from uncrowd.inference.export_file import Exported as Exported
    from uncrowd.inference.export_file import export as export
    from uncrowd.inference.export_weights import export_weights as export_weights
    from uncrowd.inference.load import load as load
    from uncrowd.inference.predictor import Predictor as Predictor
    from uncrowd.inference.tiles import TilesConfig as TilesConfig
    from uncrowd.inference.tta import TTAConfig as TTAConfig
    from uncrowd.runs.train import resume as resume
    from uncrowd.runs.train import train as train
    from uncrowd.runs.trained import TrainedRun as TrainedRun
    from uncrowd.structures import Categories as Categories
    from uncrowd.structures import Detections as Detections
    from uncrowd.structures import Sample as Sample
    from uncrowd.tracking.track import TrackedFrame as TrackedFrame
    from uncrowd.tracking.track import track as track

__version__ = version("uncrowd")

# Public name -> the module it is defined in. A module is imported when one of its names is first used, so that
# `uncrowd --help` does not wait for torch.
_PUBLIC = {
    "open_dataset": "uncrowd.data.formats.open",
    "fetch_dataset": "uncrowd.data.hub.fetch",
    "check_dataset": "uncrowd.data.check.dataset",
    "train": "uncrowd.runs.train",
    "resume": "uncrowd.runs.train",
    "load": "uncrowd.inference.load",
    "evaluate": "uncrowd.inference.evaluate",
    "analyse": "uncrowd.inference.analyse",
    "error_table": "uncrowd.evaluation.analysis.table",
    "compare": "uncrowd.inference.compare",
    "draw": "uncrowd.inference.draw",
    "export": "uncrowd.inference.export_file",
    "export_weights": "uncrowd.inference.export_weights",
    "track": "uncrowd.tracking.track",
    "TrackedFrame": "uncrowd.tracking.track",
    "Frame": "uncrowd.data.video.read",
    "Video": "uncrowd.data.video.read",
    "from_pretrained": "uncrowd.hub.repository",
    "push_to_hub": "uncrowd.hub.repository",
    "model_card": "uncrowd.hub.card",
    "export_page": "uncrowd.browser.page",
    "Splits": "uncrowd.data.splits",
    "DetectionDataset": "uncrowd.data.dataset",
    "Checked": "uncrowd.data.check.dataset",
    "TrainedRun": "uncrowd.runs.trained",
    "Predictor": "uncrowd.inference.predictor",
    "TilesConfig": "uncrowd.inference.tiles",
    "TTAConfig": "uncrowd.inference.tta",
    "Scores": "uncrowd.evaluation.protocol",
    "ErrorAnalysis": "uncrowd.evaluation.analysis.errors",
    "Comparison": "uncrowd.evaluation.comparison.bootstrap",
    "ScoreDifference": "uncrowd.evaluation.comparison.bootstrap",
    "Exported": "uncrowd.inference.export_file",
    "Sample": "uncrowd.structures",
    "Detections": "uncrowd.structures",
    "Categories": "uncrowd.structures",
    "InputError": "uncrowd.errors",
    "NonFiniteError": "uncrowd.errors",
    "PeerLostError": "uncrowd.errors",
    "keep_freed_memory": "uncrowd.freed_memory",
}

__all__ = [*_PUBLIC, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    """Lists the public names, imported or not."""
    return __all__


def __getattr__(name: str) -> object:
    """Imports a public name when it is first asked for (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'uncrowd' has no attribute {name!r}")
    with extras_of(f"uncrowd.{name}"):
        return getattr(import_module(_PUBLIC[name]), name)
