"""Puts weights files on the Hugging Face Hub and gets them from there, only when asked to by name.

A repository holds one weights file, `model.safetensors`, whose header describes the detector. Nothing pickled is read.
`HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_TOKEN` and the other settings of huggingface_hub apply.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from uncrowd.argument_types import checked_types
from uncrowd.errors import InputError
from uncrowd.hub.card import model_card, require_name
from uncrowd.inference.load import load
from uncrowd.inference.predictor import Predictor
from uncrowd.weights.file import HEADER, file_of

FILE = "model.safetensors"


@checked_types(repository="owner/name")
def from_pretrained(repository: str, *, revision: str | None = None, **options: Any) -> Predictor:
    """Returns a predictor from a repository of the Hugging Face Hub that `push_to_hub` wrote.

    repository: owner/name. revision: a branch, a tag or a commit; by default the latest. options: those of `load`. A
    file that is in the cache of huggingface_hub is not fetched again. Raises InputError when the repository, its
    weights or the Hub cannot be used.
    """
    return load(download(repository, revision), **options)


def download(repository: str, revision: str | None = None) -> Path:
    """Returns the weights file of a repository, in the cache of huggingface_hub. Raises as `from_pretrained` does."""
    require_name(repository)
    with _explained(repository, revision):
        file = Path(HfApi().hf_hub_download(repository, FILE, revision=revision))
    _require_whole(file, repository)
    try:
        with safetensors.safe_open(file, framework="np") as opened:
            described = HEADER in (opened.metadata() or {})
    except safetensors.SafetensorError as error:
        raise InputError(f"{FILE} of {repository} is not a safetensors file, or is damaged ({error}).") from error
    if not described:
        raise InputError(f"{FILE} of {repository} was not written by uncrowd; name a repository that it pushed.")
    return file


@checked_types(weights="a weights file or the folder of a run", repository="owner/name")
def push_to_hub(
    weights: str | Path,
    repository: str,
    *,
    private: bool = True,
    license: str | None = None,
    card: str | None = None,
) -> str:
    """Writes a weights file and a model card into a repository of the Hugging Face Hub, and returns its address.

    weights: a weights file or a run's folder. repository: owner/name; it is created if it does not exist. private:
    whether a new repository is; one that exists stays as it is. license: of the weights, in the card, such as
    "apache-2.0". card: the text of the card, by default `model_card`. Raises InputError when the weights are none, for
    a license beside a card, and when the Hub refuses them or cannot be reached.
    """
    require_name(repository)
    if card is not None and license is not None:
        raise InputError("A card that is given names the license itself; write it there, and leave the license out.")
    file = file_of(Path(weights))
    text = model_card(file, repository, license=license) if card is None else card
    with _explained(repository):
        hub = HfApi()
        address = hub.create_repo(repository, private=private, exist_ok=True)
        files = [CommitOperationAdd(FILE, str(file)), CommitOperationAdd("README.md", text.encode())]
        hub.create_commit(repository, files, commit_message="Upload a detector of uncrowd")
    return str(address)


def _require_whole(file: Path, repository: str) -> None:
    """Raises InputError unless the file has the SHA-256 after which the cache names what the Hub stores as large."""
    blob = file.resolve()
    if len(blob.name) != hashlib.sha256().digest_size * 2:
        return
    with blob.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != blob.name:
            raise InputError(f"{FILE} of {repository} is damaged on this machine; delete {blob} and fetch it again.")


@contextmanager
def _explained(repository: str, revision: str | None = None) -> Iterator[None]:
    """Raises InputError, in one sentence, for everything that huggingface_hub raises."""
    try:
        yield
    except Exception as error:  # those of its network library differ from version to version
        raise InputError(_sentence(error, repository, revision)) from error


def _sentence(error: Exception, repository: str, revision: str | None) -> str:
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    match error:
        case HFValidationError():
            return f"{repository!r} is not the name of a repository; give it as owner/name."
        case GatedRepoError():
            return f"{repository} is gated; ask for access on its page, and {log_in}."
        case RepositoryNotFoundError():
            return f"{constants.ENDPOINT} has no repository {repository}, or hides it; check the name, or {log_in}."
        case RevisionNotFoundError():
            return f"{repository} has no revision {revision!r}; name a branch, a tag or a commit of it."
        case OfflineModeIsEnabled():
            return f"HF_HUB_OFFLINE is set, so {repository} cannot be reached; unset it."
        case LocalEntryNotFoundError():
            return (
                f"{repository} is not in the cache and {constants.ENDPOINT} cannot be reached; check the network, and "
                "that HF_HUB_OFFLINE is not set."
            )
        case EntryNotFoundError():
            return f"{repository} holds no {FILE}; name a repository that was pushed with uncrowd."
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"{constants.ENDPOINT} does not let you use {repository}; {log_in}, with a token that may do it."
        case _:
            return f"{repository} cannot be used on {constants.ENDPOINT}: {error}"
