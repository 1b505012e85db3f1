"""`uncrowd figure attention` and `uncrowd figure masks`: draw what one query does in one stage (Figure 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from tyro.conf import Positional, arg

from uncrowd.boxes import clip
from uncrowd.cli.figure_file import require_figure_file, save_figure
from uncrowd.cli.flags import OptionalDevice, OptionalNumber, parse, require_device
from uncrowd.data.images.read import read_image
from uncrowd.data.transforms import resized_size
from uncrowd.errors import InputError
from uncrowd.inference.load import load
from uncrowd.models.class_scores import class_scores
from uncrowd.models.detector import Detector
from uncrowd.models.tap import StageTap, tap
from uncrowd.visualize.attention import draw_attention, draw_row
from uncrowd.visualize.draw import side_by_side
from uncrowd.visualize.response import draw_response


@dataclass(frozen=True, kw_only=True)
class QueryArguments:
    """What both figures are drawn from."""

    # Weights (.safetensors), the folder of a run or the name of a detector that comes with uncrowd.
    weights: Annotated[Positional[Path], arg(metavar="WEIGHTS")]
    # The image file in which the model detects.
    image: Annotated[Positional[Path], arg(metavar="IMAGE")]
    # The figure to write (.png or .jpg).
    out: Path
    # Number of the query, counted from 0; by default the query of the best detection.
    query: OptionalNumber = None
    # Number of the stage, counted from 1; by default the last stage.
    stage: OptionalNumber = None
    # Device to compute on: cpu, cuda, cuda:1 (the second GPU) or mps (the GPU of a Mac). By default a GPU if there is
    # one, else the CPU.
    device: OptionalDevice = None


@dataclass(frozen=True, kw_only=True)
class AttentionArguments(QueryArguments):
    """Draw the attention of one query to the others, before and after it is weighted with IoU (Figure 1a).

    The box of the query is yellow. The larger the attention weight of another query, the stronger its box is drawn. The
    row of the attention matrix is below. A model without IoU in its attention gives only one such image.
    """

    # The figure to write (.png or .jpg).
    out: Path = Path("attention.png")
    # Number of the attention head, counted from 1; by default the mean of all heads.
    head: OptionalNumber = None


@dataclass(frozen=True, kw_only=True)
class MasksArguments(QueryArguments):
    """Draw the RoI features of one query after the channel mask of the class and of the box branch (Figure 1b).

    The heat maps show the mean over the channels. Each has its own scale.
    """

    # The figure to write (.png or .jpg).
    out: Path = Path("masks.png")


def attention(argv: Sequence[str]) -> int:
    """Writes the figure and prints how many queries have 90% of the attention."""
    arguments = parse(AttentionArguments, argv, "uncrowd figure attention")
    image, tapped, boxes, query, words = _observe(arguments)
    if tapped.attention is None:
        raise InputError(f"{arguments.weights} holds a model without self attention, so there is nothing to draw.")
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
    image, tapped, boxes, query, words = _observe(arguments)
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


class _Observed(NamedTuple):
    """boxes: input of the stage, in image pixels. words: names the query and the stage."""

    image: UInt8[np.ndarray, "h w 3"]
    tap: StageTap
    boxes: Float[np.ndarray, "n 4"]
    query: int
    words: str


def _observe(arguments: QueryArguments) -> _Observed:
    """Detects in the image and returns what the chosen stage computed."""
    require_figure_file(arguments.out, arguments.image)
    require_device(arguments.device)
    predictor = load(arguments.weights, arguments.device)
    if not isinstance(predictor.model, Detector):
        raise InputError(
            f"{arguments.weights} gives no access to intermediate results; give the weights that it was exported from."
        )
    image = read_image(arguments.image)
    with tap(predictor.model) as taps:
        predictor.predict(image)
    if not taps:
        raise InputError(f"{arguments.weights} holds a model without proposal boxes; give a Sparse R-CNN.")
    scores = class_scores(taps[-1].output.logits[0], predictor.model.config.scores)
    stage = _numbered("--stage", arguments.stage, 1, len(taps))
    query = _numbered("--query", arguments.query, 0, len(scores) - 1)
    stage = len(taps) if stage is None else stage
    height, width = image.shape[:2]
    network_height, network_width = resized_size(height, width, predictor.resize.short_side, predictor.resize.max_size)
    if query is None:  # the best detection: a box outside the image is none
        left = clip(taps[-1].output.boxes[0], network_height, network_width)
        inside = (left[:, 2:] > left[:, :2]).all(dim=1)
        query = int((scores.amax(dim=-1) * inside).argmax())
    score, label = scores[query].max(dim=-1)
    scale = np.array([width / network_width, height / network_height] * 2)
    words = (
        f"query {query} ({predictor.categories.names[int(label)]} {float(score):.2f}) at stage {stage} of {len(taps)}"
    )
    chosen = taps[stage - 1]
    return _Observed(image, chosen, chosen.boxes[0].double().cpu().numpy() * scale, query, words)


def _row(heads: Float[np.ndarray, "heads n"], head: int | None) -> Float[np.ndarray, " n"]:
    number = _numbered("--head", head, 1, len(heads))
    return heads.mean(axis=0) if number is None else heads[number - 1]


def _numbered(flag: str, value: int | None, first: int, last: int) -> int | None:
    if value is not None and not first <= value <= last:
        raise InputError(f"{flag} is {value}; this model has {first} to {last}.")
    return value


def _fewest(row: Float[np.ndarray, " n"], share: float = 0.9) -> int:
    """Returns the least number of weights whose sum is this share of the sum of all."""
    descending = np.sort(row)[::-1].cumsum()
    return int((descending < share * descending[-1]).sum()) + 1
