"""The detectors that come with the package: each is a weights file in `detectors/`, and the file's name is its name.

Its card is the Markdown file of the same name beside it.
"""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "detectors"


def detectors() -> dict[str, Path]:
    """Returns the weights files of the detectors by name, in alphabetical order."""
    return {file.stem: file for file in sorted(FOLDER.glob("*.safetensors"))}


def located(path: Path) -> Path:
    """Returns the weights file of the detector of this name, and any other path as it is.

    A file or folder that exists is preferred to a detector of the same name.
    """
    return path if path.exists() else detectors().get(str(path), path)


def own_card(weights: Path) -> Path | None:
    """Returns the card of a detector that comes with the package; None for other weights, and without a card."""
    card = weights.with_suffix(".md")
    return card if weights in detectors().values() and card.is_file() else None


def offered() -> str:
    """Returns "; these detectors come with uncrowd: ..." to continue a sentence, or "" if none does."""
    names = ", ".join(detectors())
    return f"; these detectors come with uncrowd: {names}" if names else ""
