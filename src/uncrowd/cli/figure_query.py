"""`uncrowd figure attention` and `uncrowd figure masks`: what one query does in one stage (Figure 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from tyro.conf import Positional, arg

from uncrowd.cli.figure_file import require_figure_file, save_figure
from uncrowd.cli.flags import OptionalDevice, parse, require_device
from uncrowd.data.image import read_image
from uncrowd.data.transforms import resized_size
from uncrowd.errors import InputError
from uncrowd.inference.predictor import load
from uncrowd.models.class_scores import class_scores
from uncrowd.models.detector import Detector
from uncrowd.models.tap import StageTap, tap
from uncrowd.visualize.attention import draw_attention, draw_row
from uncrowd.visualize.draw import side_by_side
from uncrowd.visualize.response import draw_response

OptionalNumber = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class AttentionArguments:
    """Draw whom a query attends to, before and after its attention is weighted with the IoU (Figure 1a).

    The box of the query is yellow, those of the others are the stronger the more it takes from them; below is its row
    of the attention matrix. A model whose attention does not look at the boxes has only one such image.
    """

    # Weights (.safetensors), or a run's folder.
    weights: Annotated[Positional[Path], arg(metavar="WEIGHTS")]
    # An image file.
    image: Annotated[Positional[Path], arg(metavar="IMAGE")]
    # The figure, .png or .jpg.
    out: Path = Path("attention.png")
    # Which query, counted from 0; by default that of the best detection.
    query: OptionalNumber = None
    # Which stage, counted from 1; by default the last.
    stage: OptionalNumber = None
    # Which attention head, counted from 1; by default the mean of all.
    head: OptionalNumber = None
    # By default the GPU where there is one.
    device: OptionalDevice = None


@dataclass(frozen=True, kw_only=True)
class MasksArguments:
    """Draw where the class and the box branch of a query look: its RoI features after each channel mask (Figure 1b).

    The heat maps show the mean over the channels, each with its own scale.
    """

    # Weights (.safetensors), or a run's folder.
    weights: Annotated[Positional[Path], arg(metavar="WEIGHTS")]
    # An image file.
    image: Annotated[Positional[Path], arg(metavar="IMAGE")]
    # The figure, .png or .jpg.
    out: Path = Path("masks.png")
    # Which query, counted from 0; by default that of the best detection.
    query: OptionalNumber = None
    # Which stage, counted from 1; by default the last.
    stage: OptionalNumber = None
    # By default the GPU where there is one.
    device: OptionalDevice = None


def attention(argv: Sequence[str]) -> int:
    """Writes the figure and says how many queries the attention spreads over."""
    arguments = parse(AttentionArguments, argv, "uncrowd figure attention")
    image, tapped, boxes, query, words = _listen(arguments)
    if tapped.attention is None:
        raise InputError(f"{arguments.weights} holds a model without self attention; there is nothing to draw.")
    before, after = tapped.attention
    kinds = {"before IoU" if after is not None else "self attention": before, "after IoU": after}
    rows = {
        kind: _row(weights[0, :, query].double().cpu().numpy(), arguments.head)
        for kind, weights in kinds.items()
        if weights is not None
    }
    highest = max(float(row.max()) for row in rows.values())
    panels = []
    for kind, row in rows.items():
        drawn = draw_attention(image, boxes, row, query)
        bars = draw_row(row, query, width=drawn.shape[1], highest=highest)
        panels.append((f"{kind}: 90% on {_fewest(row)} of {len(row)} queries", np.concatenate([drawn, bars])))
    save_figure(arguments.out, side_by_side(panels))
    print("; ".join([words, *(title for title, _ in panels), f"written to {arguments.out}"]))
    return 0


def masks(argv: Sequence[str]) -> int:
    """Writes the figure."""
    arguments = parse(MasksArguments, argv, "uncrowd figure masks")
    image, tapped, boxes, query, words = _listen(arguments)
    if tapped.class_mask is None or tapped.box_mask is None:
        raise InputError(
            f"{arguments.weights} holds a model without dynamic channel weighting, which has no masks; "
            "train one with --model.stage.interaction dcw."
        )
    panels = []
    for branch, masked in (("classification", tapped.class_mask), ("regression", tapped.box_mask)):
        response = masked.response[0, query].double().mean(dim=-1).cpu().numpy()
        side = round(len(response) ** 0.5)
        panels.append((branch, draw_response(image, boxes[query], response.reshape(side, side))))
    save_figure(arguments.out, side_by_side(panels))
    print(f"{words}; written to {arguments.out}")
    return 0


class _Listened(NamedTuple):
    """boxes: that the stage received, in the image's pixels. words: which query and stage it is."""

    image: UInt8[np.ndarray, "h w 3"]
    tap: StageTap
    boxes: Float[np.ndarray, "n 4"]
    query: int
    words: str


def _listen(arguments: AttentionArguments | MasksArguments) -> _Listened:
    """Detects in the image and hears what the stage does."""
    require_figure_file(arguments.out, arguments.image)
    require_device(arguments.device)
    predictor = load(arguments.weights, arguments.device)
    if not isinstance(predictor.model, Detector):
        raise InputError(f"{arguments.weights} shows what it finds and not how; give the weights it was exported from.")
    image = read_image(arguments.image)
    with tap(predictor.model) as taps:
        predictor.predict(image)
    if not taps:
        raise InputError(f"{arguments.weights} holds a model that has no proposal boxes; give a Sparse R-CNN or ours.")
    scores = class_scores(taps[-1].output.logits[0], predictor.model.config.scores)
    stage = _numbered("--stage", arguments.stage, 1, len(taps))
    query = _numbered("--query", arguments.query, 0, len(scores) - 1)
    stage = len(taps) if stage is None else stage
    query = int(scores.amax(dim=-1).argmax()) if query is None else query
    score, label = scores[query].max(dim=-1)
    height, width = image.shape[:2]
    network_height, network_width = resized_size(height, width, predictor.resize.short_side, predictor.resize.max_size)
    scale = np.array([width / network_width, height / network_height] * 2)
    words = (
        f"query {query} ({predictor.categories.names[int(label)]} {float(score):.2f}) at stage {stage} of {len(taps)}"
    )
    chosen = taps[stage - 1]
    return _Listened(image, chosen, chosen.boxes[0].double().cpu().numpy() * scale, query, words)


def _row(heads: Float[np.ndarray, "heads n"], head: int | None) -> Float[np.ndarray, " n"]:
    number = _numbered("--head", head, 1, len(heads))
    return heads.mean(axis=0) if number is None else heads[number - 1]


def _numbered(flag: str, value: int | None, first: int, last: int) -> int | None:
    if value is not None and not first <= value <= last:
        raise InputError(f"{flag} is {value}; this model has {first} to {last}.")
    return value


def _fewest(row: Float[np.ndarray, " n"], share: float = 0.9) -> int:
    """How few of the weights make up that share of their sum."""
    descending = np.sort(row)[::-1].cumsum()
    return int((descending < share * descending[-1]).sum()) + 1
