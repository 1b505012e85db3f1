"""A stand-in for the Hub, and weights to put there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import close_session, constants

from tests.hub.stand_in import StandIn, serving
from tests.tiny import TINY_MODEL
from uncrowd.data.transforms import ResizeConfig
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Categories
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.file import save_weights


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """A server that huggingface_hub takes for the Hub, with a token for it and an empty cache."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    close_session()
    with serving() as stand_in:
        monkeypatch.setattr(constants, "ENDPOINT", stand_in.address)
        template = f"{stand_in.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield stand_in
    close_session()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny detector of three classes, in a folder that is no run's."""
    torch.manual_seed(0)
    names = ("person", "dog", "ball")
    thresholds = ScoreThresholds(f1=dict.fromkeys(names, 0.4), count=dict.fromkeys(names, 0.35))
    file = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    preprocessing = ResizeConfig(short_side=64, max_size=96)
    categories = Categories(ids=(1, 2, 3), names=names)
    save_weights(file, SparseRCNN(TINY_MODEL), categories, preprocessing, thresholds)
    return file
