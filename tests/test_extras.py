"""With the core installed alone, inference and evaluation work, and everything else names the extra it needs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from tests.tiny import TINY_MODEL
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.extras import EXTRA_OF, extras_of
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.weights.file import save_weights

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def weights(crowd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    validation = open_dataset(crowd).val
    assert validation is not None
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    preprocessing = ResizeConfig(short_side=64, max_size=96)
    save_weights(path, SparseRCNN(TINY_MODEL), validation.categories, preprocessing)
    return path


def core_alone(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.core_alone", *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def python_alone(code: str) -> subprocess.CompletedProcess[str]:
    script = f"from tests.core_alone import block_extras\nblock_extras()\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("verb", ["info", "check", "predict", "eval"])
def test_what_the_core_does_needs_no_extra(weights: Path, crowd: Path, tmp_path: Path, verb: str) -> None:
    image = next((crowd / "val").glob("*.jpg"))
    rest = {
        "info": [weights],
        "check": [crowd],
        "predict": [weights, image, "--out", tmp_path / "out"],
        "eval": [weights, "--data", crowd, "--workers", "0"],
    }
    done = core_alone(verb, *rest[verb])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("argv", "extra"),
    [
        (["train", "--data", "d"], "train"),
        (["demo"], "train"),
        (["figure", "curves", "run"], "report"),
        (["fetch", "a/b", "--out", "d"], "huggingface"),
    ],
    ids=["train", "demo", "figure", "fetch"],
)
def test_a_verb_names_the_extra_it_needs(argv: list[str], extra: str) -> None:
    done = core_alone(*argv)
    assert (done.returncode, done.stdout) == (2, "")
    said = rf"uncrowd: `uncrowd {argv[0]}` needs \w+, which is not installed; pip install 'uncrowd\[{extra}\]'\.\n"
    assert re.fullmatch(said, done.stderr)


def test_export_names_its_extra(weights: Path, tmp_path: Path) -> None:
    done = core_alone("export", weights, tmp_path / "tiny.onnx")
    assert done.returncode == 2
    assert "needs onnx, which is not installed; pip install 'uncrowd[export]'." in done.stderr
    assert not (tmp_path / "tiny.onnx").exists()


def test_a_video_names_its_extra(weights: Path) -> None:
    done = core_alone("predict", weights, "clip.mp4")
    assert (done.returncode, done.stdout) == (2, "")
    said = r"uncrowd: `uncrowd predict` needs \w+, which is not installed; pip install 'uncrowd\[video\]'\.\n"
    assert re.fullmatch(said, done.stderr)


def test_python_names_the_extra_it_needs() -> None:
    done = python_alone("import uncrowd\ntry: uncrowd.train\nexcept uncrowd.InputError as error: print(error)")
    assert re.fullmatch(r"uncrowd\.train needs \w+, .*; pip install 'uncrowd\[train\]'\.\n", done.stdout)


def test_the_recipes_need_no_extra() -> None:
    done = python_alone("import uncrowd.recipes\nfor complete in uncrowd.recipes.EXPERIMENTS.values(): complete()")
    assert done.returncode == 0, done.stderr


def test_a_missing_module_of_no_extra_stays_a_module_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), extras_of("A test"):
        import no_such_module  # noqa: F401 # pyright: ignore[reportMissingImports]


def test_the_extras_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for package, extra in EXTRA_OF.items():
        assert any(requirement.startswith(f"{package}>") for requirement in extras[extra])
    with pytest.raises(InputError, match=r"Plots needs matplotlib, .* 'uncrowd\[report\]'"), extras_of("Plots"):
        raise ModuleNotFoundError("No module named 'matplotlib.axes'", name="matplotlib.axes")
