"""What a user gave is never overwritten, by whatever name, and what exists only when told."""

from pathlib import Path

import pytest

from uncrowd.errors import InputError
from uncrowd.overwriting import refuse_overwriting


@pytest.mark.parametrize("how", ["itself", "another path", "link", "hard link"])
def test_an_input_is_not_overwritten(tmp_path: Path, how: str) -> None:
    given, target = tmp_path / "given.json", tmp_path / "target.json"
    given.write_text("[]")
    match how:
        case "itself":
            target = given
        case "another path":
            target = tmp_path / "." / "given.json"
        case "link":
            target.symlink_to(given)
        case "hard link":
            target.hardlink_to(given)
    said = f"{target.name} is one of the inputs and would be overwritten; name another file."
    with pytest.raises(InputError, match=said):
        refuse_overwriting([tmp_path / "new.json", target], [given])


def test_what_exists_is_replaced_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("[]")
    refuse_overwriting([tmp_path / "old.json"], [])
    with pytest.raises(InputError, match=r"old\.json exists already; name it anew, or replace it with --overwrite\."):
        refuse_overwriting([tmp_path / "old.json"], [], mend="name it anew", replace=False)


def test_files_that_cannot_be_found_are_compared_by_name(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    refuse_overwriting([tmp_path / "new"], [tmp_path / "loop", tmp_path / "missing"])
    with pytest.raises(InputError, match="would be overwritten"):
        refuse_overwriting([tmp_path / "missing"], [tmp_path / "missing"])
