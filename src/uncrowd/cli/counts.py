"""The counts that `uncrowd predict` prints: of the first images, and of all."""

from collections.abc import Sequence
from pathlib import Path

from uncrowd.words import printable

# Images of which the counts are printed; counts.csv has those of all.
SHOWN = 12


class Counts:
    """Adds up the counts of images. classes: those that are counted."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._total = dict.fromkeys(classes, 0)
        self._lines: list[str] = []
        self._images = 0

    def add(self, image: Path, counts: dict[str, int]) -> None:
        """Adds an image with its count of each class."""
        self._images += 1
        if self._images <= SHOWN:
            self._lines.append(f"  {printable(str(image))}: {_in_words(counts)}")
        for name in self._total:
            self._total[name] += counts[name]

    def in_words(self) -> str:
        """Returns a line for each of the first images, and one for all if there are several."""
        more = self._images - SHOWN
        lines = [*self._lines, *([f"  ... {more} more"] if more > 0 else [])]
        if self._images > 1:
            lines.append(f"  all {self._images}: {_in_words(self._total)}")
        return "\n".join(lines)


def _in_words(counts: dict[str, int]) -> str:
    """Returns the classes that occur, such as "person 5, dog 2"; with a single class its number alone."""
    if len(counts) == 1:
        return str(*counts.values())
    return ", ".join(f"{name} {number}" for name, number in counts.items() if number) or "nothing"
