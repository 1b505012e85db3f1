"""docs/paper.md has a row for every piece of the paper, no empty cell, and only names of files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    line.strip("|").split("|") for line in (ROOT / "docs/paper.md").read_text().splitlines() if line.startswith("|")
]
PIECES = [
    *(f"Eq. {n}" for n in range(1, 5)),
    *(f"Algorithm {n}" for n in range(1, 3)),
    *(f"Table {n}" for n in range(1, 11)),
    *("Fig. 1a", "Fig. 1b", "Fig. 3a", "Fig. 3b", "Fig. 3c", "Fig. 7, 8, 9", *(f"Fig. {n}" for n in (2, 4, 5, 6, 10))),
]


def test_no_cell_is_empty() -> None:
    assert all(len(row) == 4 and all(cell.strip() for cell in row) for row in ROWS)


def test_every_file_that_is_named_exists() -> None:
    missing = []
    for _, files, tests, _ in ROWS:
        missing += [
            name for name in re.findall(r"`([\w/]+\.py)`", files) if not (ROOT / "src/uncrowd" / name).is_file()
        ]
        missing += [name for name in re.findall(r"`([\w/]+\.py)`", tests) if not (ROOT / "tests" / name).is_file()]
    assert not missing


def test_every_piece_of_the_paper_has_a_row() -> None:
    first_cells = " ".join(row[0] for row in ROWS)
    assert not [piece for piece in PIECES if not re.search(rf"{re.escape(piece)}\b", first_cells)]
