"""A detector goes to a stand-in for the Hub and comes back the same; what cannot be used is said in one sentence."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save

import uncrowd
from tests.hub.stand_in import StandIn
from uncrowd.cli import main
from uncrowd.errors import InputError
from uncrowd.hub.repository import download
from uncrowd.weights.file import load_weights
from uncrowd.weights.packaged import FOLDER

OURS = "me/crowd"


@pytest.fixture
def pushed(hub: StandIn, weights: Path) -> StandIn:
    """The Hub with a detector on it."""
    hub.repositories[OURS] = {"model.safetensors": weights.read_bytes()}
    return hub


def test_what_is_pushed_is_loaded_again(hub: StandIn, weights: Path) -> None:
    assert uncrowd.push_to_hub(weights, OURS) == f"{hub.address}/{OURS}"
    assert hub.private == {OURS: True}
    assert hub.repositories[OURS].keys() == {"model.safetensors", "README.md"}
    assert hub.repositories[OURS]["README.md"].decode() == uncrowd.model_card(weights, OURS)
    uncrowd.push_to_hub(weights, OURS, private=False, card="# mine")
    assert hub.private == {OURS: True}, "a repository that exists stays as it is"
    assert hub.repositories[OURS]["README.md"] == b"# mine"

    predictor = uncrowd.from_pretrained(OURS, device="cpu", max_pixels=100)
    assert (predictor.categories.names, predictor.max_pixels) == (("person", "dog", "ball"), 100)
    assert predictor.thresholds is not None
    theirs, ours = load_weights(download(OURS)).model.state_dict(), load_weights(weights).model.state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())


def test_the_command_line_pushes_and_pulls(
    hub: StandIn, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, copy = tmp_path / "README.md", tmp_path / "new" / "copy.safetensors"
    assert main(["push", str(weights), OURS, "--license", "mit", "--write-card", str(card)]) == 0
    assert capsys.readouterr().out == f"written to {card}; nothing was sent\n"
    assert hub.asked == []
    card.write_text(card.read_text() + "My own words.\n")
    assert main(["push", str(weights), OURS, "--public", "--card", str(card)]) == 0
    assert hub.private == {OURS: False}
    sent = hub.repositories[OURS]["README.md"].decode()
    assert "license: mit\n" in sent
    assert sent.endswith("My own words.\n")
    assert main(["pull", OURS, str(copy), "--revision", "v1"]) == 0
    assert copy.read_bytes() == weights.read_bytes()
    copy.write_bytes(b"mine")
    for destination, sentence in ((copy, "exists already"), (Path(), "is not the name of a weights file")):
        assert main(["pull", OURS, str(destination)]) == 2
        assert f"{destination} {sentence}" in capsys.readouterr().err
    assert main(["pull", OURS, str(copy), "--overwrite"]) == 0
    assert copy.read_bytes() == weights.read_bytes()


def test_a_detector_that_comes_with_the_package_takes_its_own_card_along(hub: StandIn, tmp_path: Path) -> None:
    weights, own = FOLDER / "blood-cells.safetensors", FOLDER / "blood-cells.md"
    assert main(["push", "blood-cells", OURS]) == 0
    assert hub.repositories[OURS] == {"model.safetensors": weights.read_bytes(), "README.md": own.read_bytes()}
    (tmp_path / "mine.md").write_text("# Mine\n")
    assert main(["push", "blood-cells", OURS, "--card", str(tmp_path / "mine.md")]) == 0
    assert hub.repositories[OURS]["README.md"] == b"# Mine\n"


def test_the_cache_is_used_offline(pushed: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    first = download(OURS)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    pushed.asked.clear()
    assert download(OURS) == first
    with pytest.raises(InputError, match=r"me/other is not in the cache and http://.* cannot be reached; check"):
        download("me/other")
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, so me/crowd cannot be reached; unset it"):
        uncrowd.push_to_hub(first, OURS, card="")
    assert pushed.asked == []


def test_a_file_that_changed_in_the_cache_is_refused(pushed: StandIn) -> None:
    blob = download(OURS).resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match=r"model\.safetensors of me/crowd is damaged on this machine; delete "):
        download(OURS)


def test_what_is_not_there_is_said(pushed: StandIn) -> None:
    pushed.repositories |= {"me/empty": {}, "me/gated": {}, "me/torn": {}, "me/foreign": {}}
    pushed.gated.add("me/gated")
    pushed.repositories["me/torn"]["model.safetensors"] = b"no tensors"
    pushed.repositories["me/foreign"]["model.safetensors"] = save({"weight": torch.zeros(1)})
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    for repository, sentence in {
        "me/none": f"{pushed.address} has no repository me/none, or hides it; check the name, or {log_in}.",
        "me/empty": "me/empty holds no model.safetensors; name a repository that was pushed with uncrowd.",
        "me/gated": f"me/gated is gated; ask for access on its page, and {log_in}.",
        "me/foreign": "model.safetensors of me/foreign was not written by uncrowd; name a repository that it pushed.",
        "crowd": "'crowd' is not the name of a repository; give it as owner/name.",
        "me/--crowd": "'me/--crowd' is not the name of a repository; give it as owner/name.",
    }.items():
        with pytest.raises(InputError) as caught:
            download(repository)
        assert str(caught.value) == sentence
    with pytest.raises(InputError, match=r"model\.safetensors of me/torn is not a safetensors file, or is damaged"):
        download("me/torn")
    with pytest.raises(InputError, match="me/crowd has no revision 'v9'; name a branch, a tag or a commit of it"):
        download(OURS, "v9")


def test_without_a_token_nothing_is_pushed(hub: StandIn, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    with pytest.raises(InputError, match=r"does not let you use me/crowd; log in with `hf auth login`"):
        uncrowd.push_to_hub(weights, OURS, card="")
    assert hub.repositories == {}


def test_a_card_that_cannot_be_read_is_said(hub: StandIn, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(weights), OURS, "--card", "nowhere.md"]) == 2
    said = "The model card nowhere.md cannot be read as text: No such file or directory; give a Markdown file."
    assert said in capsys.readouterr().err
    assert main(["push", str(weights), OURS, "--card", "nowhere.md", "--write-card", "new.md"]) == 2
    assert "--write-card writes a card and sends nothing; leave --card out, or --write-card." in capsys.readouterr().err
    assert main(["push", str(weights), OURS, "--write-card", str(weights)]) == 2
    assert f"{weights} exists; name another file with --write-card, or remove it." in capsys.readouterr().err
    assert main(["push", str(weights), "crowd", "--write-card", "new.md"]) == 2
    assert "'crowd' is not the name of a repository; give it as owner/name." in capsys.readouterr().err
    assert hub.asked == []


def test_a_license_beside_a_card_is_refused(hub: StandIn, weights: Path) -> None:
    with pytest.raises(InputError, match="write it there, and leave the license out"):
        uncrowd.push_to_hub(weights, OURS, card="# Crowd", license="mit")
    assert hub.asked == []


def test_other_types_are_refused_in_a_sentence(weights: Path) -> None:
    with pytest.raises(InputError, match=r"^repository is None; give owner/name\.$"):
        uncrowd.from_pretrained(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^weights is 3; give a weights file or the folder of a run\.$"):
        uncrowd.push_to_hub(3, OURS)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^license is True; give str \| None\.$"):
        uncrowd.model_card(weights, OURS, license=True)  # pyright: ignore[reportArgumentType]
