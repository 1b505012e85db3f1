"""The datasets of the claims. Those that are drawn have one class: more would spare class-aware NMS most losses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset
from uncrowd.errors import InputError


@dataclass(frozen=True, kw_only=True)
class MadeCrowds:
    """What all made crowds say: (height, width) and objects of an image, and the images of each split."""

    overlap: float
    size: tuple[int, int] = (128, 160)
    objects: tuple[int, int] = (8, 14)
    train: int = 400
    val: int = 100
    test: int = 600

    @property
    def short_side(self) -> int:
        """That of the images themselves."""
        return min(self.size)

    @property
    def most(self) -> int:
        """The most objects in an image."""
        return self.objects[1]


@dataclass(frozen=True, kw_only=True)
class DrawnCrowds(MadeCrowds):
    """Drawn crowds of people, whose mean IoU with their closest other is `overlap`.

    kind: in a word, what is special about the size of the canvas or the number of objects. scale: see `SceneConfig`.
    """

    kind: str = "drawn"
    scale: float = 1.0

    @property
    def name(self) -> str:
        """The dataset in a word, such as drawn-0.5."""
        return f"{self.kind}-{self.overlap:g}"

    def write(self, parent: Path, real: Path | None = None) -> Path:
        """Returns the folder of the dataset below `parent`, and draws it if it is not there. real: not needed."""
        scenes = SceneConfig(
            size=self.size, objects=self.objects, overlap=self.overlap, scale=self.scale, classes=("person",)
        )

        def draw(folder: Path) -> None:
            for seed, (split, images) in enumerate({"train": self.train, "val": self.val, "test": self.test}.items()):
                write_dataset(folder, split, scenes, images, seed)

        return made_once(parent / self.name, draw)


@dataclass(frozen=True, kw_only=True)
class RealImages:
    """A dataset of real images as it is, with its numbers of training images and of objects in an image at most."""

    name: str
    train: int
    most: int
    short_side: int

    def write(self, parent: Path, real: Path | None = None) -> Path:
        """Returns the folder of that name in the folder `real`. Raises InputError if it is None or has none."""
        return require_real(real, self.name)


CROWDED = DrawnCrowds(overlap=0.5)
LESS_CROWDED = DrawnCrowds(overlap=0.3)
# The same scenes, and only 40 of them to learn from.
FEW_IMAGES = DrawnCrowds(overlap=0.5, kind="drawn-few", train=40)
# As many people of the same size in pixels, on a canvas with room for all of them.
APART = DrawnCrowds(overlap=0.0, kind="drawn-wide", size=(192, 240), scale=2 / 3)
# As crowded as the first, with some six times as many people on six times the area.
LARGE = DrawnCrowds(overlap=0.5, kind="drawn-large", size=(320, 400), scale=0.4, objects=(40, 80))

# Blood cells of three classes.
BCCD = RealImages(name="bccd", train=205, most=30, short_side=192)


def require_real(real: Path | None, name: str) -> Path:
    """Returns the folder `name` in the folder of real datasets. Raises InputError if it is not there."""
    if real is None or not (real / name).is_dir():
        given = "no folder of real datasets was given" if real is None else f"{real} has no folder {name!r}"
        raise InputError(f"The images of {name} are needed, and {given}; name the folder that has it as --places.real.")
    return real / name


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Returns the folder, whose content `make` writes if it is not there, whole or not at all.

    Several processes may make it at once; each makes the same, and the first to finish names the folder.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as making:
        whole = Path(making) / "whole"
        make(whole)
        try:
            whole.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    return folder
