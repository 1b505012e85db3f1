"""`uncrowd push WEIGHTS OWNER/NAME`: puts a detector on the Hugging Face Hub, with a model card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.cli.flags import OptionalPath, parse
from uncrowd.errors import InputError
from uncrowd.hub.card import model_card
from uncrowd.hub.repository import push_to_hub
from uncrowd.whole_file import whole_file


@dataclass(frozen=True, kw_only=True)
class PushArguments:
    """Put a trained detector on the Hugging Face Hub: its weights file, and a model card made from it and its run.

    Log in first, with `hf auth login` or the variable HF_TOKEN. `--write-card README.md` writes the card and sends
    nothing, so that it can be read and changed; `--card README.md` then sends the changed one. A detector that comes
    with uncrowd is sent with the card that it comes with.
    """

    # Weights (.safetensors), the folder of a run or the name of a detector that comes with uncrowd.
    source: Annotated[Positional[Path], arg(metavar="WEIGHTS")]
    # The repository, which is created if it does not exist.
    repository: Annotated[Positional[str], arg(metavar="OWNER/NAME")]
    # Let everyone see a new repository. One that exists stays as it is.
    public: bool = False
    # License of the weights, named in the card that is made, such as apache-2.0.
    license: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    # A model card of your own (.md) to send in place of the one that is made.
    card: OptionalPath = None
    # Write the model card to this file (.md), and send nothing.
    write_card: OptionalPath = None


def main(argv: Sequence[str]) -> int:
    """Sends the detector, or writes its card."""
    arguments = parse(PushArguments, argv, "uncrowd push")
    source, repository, license = arguments.source, arguments.repository, arguments.license
    if arguments.write_card is not None:
        if arguments.card is not None:
            raise InputError("--write-card writes a card and sends nothing; leave --card out, or --write-card.")
        if arguments.write_card.exists():  # it may have been changed by hand
            raise InputError(f"{arguments.write_card} exists; name another file with --write-card, or remove it.")
        text = model_card(source, repository, license=license)
        with whole_file(arguments.write_card) as file:
            file.write_text(text, encoding="utf-8")
        print(f"written to {arguments.write_card}; nothing was sent")
        return 0
    card = None if arguments.card is None else _read(arguments.card)
    address = push_to_hub(source, repository, private=not arguments.public, license=license, card=card)
    print(f"sent to {address}")
    return 0


def _read(card: Path) -> str:
    try:
        return card.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"The model card {card} cannot be read as text: {why}; give a Markdown file.") from error
