"""The guided tour of CONTRIBUTING.md names files that exist, and its list of rooms is complete."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "uncrowd"
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Returns the text below a heading, up to the next heading."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_each_file_of_the_tour_exists() -> None:
    table = [line for line in section("Where is ...").splitlines() if "docs/paper.md" not in line]
    tour = section("A guided tour").partition("1. ")[2]
    paths = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?|[a-z_]+\.py)`", tour + "\n".join(table))
    assert len(paths) >= 14
    assert [path for path in paths if not (SOURCE / path).exists()] == []


def test_the_tour_has_seven_files() -> None:
    assert re.findall(r"^(\d)\. `", section("A guided tour"), re.MULTILINE) == list("1234567")


def test_each_room_is_listed() -> None:
    rooms = {folder.parent.name for folder in SOURCE.glob("*/__init__.py")}
    assert set(re.findall(r"^(\w+)/ ", section("Rooms"), re.MULTILINE)) == rooms
