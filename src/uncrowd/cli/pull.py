"""`uncrowd pull OWNER/NAME DST`: gets a detector from the Hugging Face Hub."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.cli.flags import parse
from uncrowd.hub.repository import download
from uncrowd.weights.destination import require_destination
from uncrowd.whole_file import whole_file


@dataclass(frozen=True, kw_only=True)
class PullArguments:
    """Get a detector that was put on the Hugging Face Hub with `uncrowd push`, as a weights file.

    Nothing in the file is run: it holds numbers and a description. What the cache of huggingface_hub has is not fetched
    again, and with HF_HUB_OFFLINE=1 nothing is.
    """

    # The repository.
    repository: Annotated[Positional[str], arg(metavar="OWNER/NAME")]
    # The weights file to write (.safetensors).
    destination: Annotated[Positional[Path], arg(metavar="DST")]
    # A branch, a tag or a commit. By default the latest.
    revision: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    # Replace a file that is there already.
    overwrite: bool = False


def main(argv: Sequence[str]) -> int:
    """Writes the weights file."""
    arguments = parse(PullArguments, argv, "uncrowd pull")
    destination = arguments.destination
    require_destination(destination, None, "a weights file", ".safetensors", replace=arguments.overwrite)
    fetched = download(arguments.repository, arguments.revision)
    with whole_file(destination) as file:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fetched, file)
    print(f"written to {destination}")
    print(f"  uncrowd predict {quote(str(destination))} IMAGES")
    return 0
