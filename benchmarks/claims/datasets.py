"""The datasets of the claims. Those that are drawn have one class: more would spare class-aware NMS most losses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from uncrowd.data.synthetic.scenes import SceneConfig, write_dataset


@dataclass(frozen=True, kw_only=True)
class DrawnCrowds:
    """Drawn crowds of people: the kind of scenes, and the numbers of images to train, validate and test on."""

    overlap: float
    size: tuple[int, int] = (128, 160)
    objects: tuple[int, int] = (8, 14)
    train: int = 400
    val: int = 100
    test: int = 600

    @property
    def name(self) -> str:
        """The dataset in a word, such as drawn-0.5."""
        return f"drawn-{self.overlap:g}"

    @property
    def short_side(self) -> int:
        """That of the images themselves."""
        return min(self.size)

    @property
    def most(self) -> int:
        """The most objects in an image."""
        return self.objects[1]

    def write(self, parent: Path) -> Path:
        """Returns the folder of the dataset below `parent`, and draws it if it is not there."""
        scenes = SceneConfig(size=self.size, objects=self.objects, overlap=self.overlap, classes=("person",))

        def draw(folder: Path) -> None:
            for seed, (split, images) in enumerate({"train": self.train, "val": self.val, "test": self.test}.items()):
                write_dataset(folder, split, scenes, images, seed)

        return made_once(parent / self.name, draw)


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
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
