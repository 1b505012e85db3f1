"""The arguments of `uncrowd eval`, and which of them exclude each other or do not fit the dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.cli.flags import (
    OptionalClasses,
    OptionalDevice,
    OptionalNumber,
    OptionalPath,
    OptionalReal,
    require_device,
)
from uncrowd.cli.method import OptionalSplit
from uncrowd.cli.thresholds import ThresholdWords
from uncrowd.cli.tiles import read_tiles
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind
from uncrowd.errors import InputError, require_at_least
from uncrowd.evaluation.build import require_scorable
from uncrowd.inference.evaluate import require_annotated
from uncrowd.structures import ScoreProtocol

MOST_DETS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class EvalArguments:
    """Score a trained detector, or detections in a file, and its counts, with the protocol of COCO or of CrowdHuman.

    Given two, say which is better, and whether the choice of images may be the reason.
    To score detections in a file, the images are not needed. A dataset without ground truth, such as COCO's test-dev,
    cannot be scored: --out then writes the file for its evaluation server. Several processes that torchrun starts share
    the images.
    """

    # Weights (.safetensors), the folder of a run, the name of a detector that comes with uncrowd, an exported detector
    # (.onnx, .xml), or detections (COCO results in .json or CrowdHuman's odgt).
    what: Annotated[Positional[Path], arg(metavar="WHAT")]
    # A second one, to compare with the first on the same images.
    other: Annotated[Positional[Path | None], arg(metavar="[OTHER]", help_behavior_hint="")] = None
    # The dataset with the ground truth, in any format that `uncrowd check` reads: its folder, or one annotation file.
    # Several, separated by commas, are read as one.
    data: Path
    # Split of the folder to use; by default the validation split, or the only split.
    split: OptionalSplit = None
    # Protocol; by default CrowdHuman's (AP, mMR, Recall, JI) for annotations in odgt, COCO's for others.
    protocol: Annotated[ScoreProtocol | None, arg(metavar="{coco,crowdhuman}", help_behavior_hint="")] = None
    # Boxes of CrowdHuman's odgt to use: fbox is the full body, vbox its visible part, hbox the head.
    box: BoxKind = "fbox"
    # Classes to keep: person, or person=pedestrian,rider for two under a new name. Objects of others are left out.
    # Double quotes keep a name with = or a comma together: 'person="man, old",rider'. By default those of the run that
    # is scored.
    classes: OptionalClasses = ()
    # Limits of COCO's protocol on the detections of one class in one image. AR is computed at each limit, AP and
    # AP50 at 100 and at each limit above it (AP@200). By default 1 10 100, and the most detections of any image if
    # these are more than 100.
    max_dets: Annotated[tuple[int, ...] | None, arg(metavar="INT [INT ...]", help_behavior_hint="")] = None
    # Least score of a detection that is counted: one number, or one for each class (person=0.4 "traffic light=0.2"). By
    # default the threshold that counted best on validation data, or 0.3. The protocol's scores use all detections.
    threshold: ThresholdWords = ()
    # File to write the detections to, as COCO results (.json) or CrowdHuman's odgt (.odgt).
    out: OptionalPath = None
    # Test-time augmentation: detect in each image at 13 sizes, each also flipped, as in Table 7 of the paper. This
    # takes about 40 times as long.
    tta: bool = False
    # Test-time augmentation with the values of the authors' release: long sides of up to 4000, votes at IoU 0.65.
    tta_as_released: bool = False
    # Each box gets only its best class, like `uncrowd predict --one-label`. The papers' scores let it have several.
    one_label: bool = False
    # Compute in bfloat16, like `uncrowd predict --bf16`.
    bf16: bool = False
    # Lower the scores of duplicates, like `uncrowd predict --lower-duplicates`.
    lower_duplicates: OptionalReal = None
    # Number of detections an image, for a model with dense queries; by default that of its training.
    proposals: OptionalNumber = None
    # Pixels to which the short side of an image is resized, like `uncrowd predict --short-side`.
    short_side: OptionalNumber = None
    # Also say what goes wrong: errors by kind and what each costs, recall of crowded and of small objects, confused
    # classes, calibration. With --json everything, the curves too.
    errors: bool = False
    # Print only one JSON object on standard output.
    json: bool = False
    # Number of images (with --tiles, of tiles) in a batch; it changes speed and memory, and in fp32 the last bits of
    # results.
    batch_size: int = 4
    # Cut images into tiles, like `uncrowd predict --tiles`.
    tiles: OptionalNumber = None
    # Pixels that neighbouring tiles share, like `uncrowd predict --overlap`.
    overlap: OptionalNumber = None
    # Width times height up to which an image is decoded; larger ones count as unreadable. By default 178,956,970, or
    # 1,000,000,000 with --tiles.
    max_pixels: OptionalNumber = None
    # Number of processes that load images.
    workers: int = 2
    # Device to compute on: cpu, cuda, cuda:1 (the second GPU) or mps (the GPU of a Mac). By default a GPU if there is
    # one, else the CPU.
    device: OptionalDevice = None


def require_usable(arguments: EvalArguments, of_files: Sequence[Path]) -> None:
    """Raises InputError for arguments whose error would otherwise appear only after inference on all images."""
    max_dets, out = arguments.max_dets, arguments.out
    if max_dets is not None and (
        not max_dets or list(max_dets) != sorted(set(max_dets)) or max_dets[0] < 1 or max_dets[-1] > MOST_DETS
    ):
        raise InputError(f"--max-dets takes increasing positive numbers up to {MOST_DETS}, such as 1 10 100.")
    require_at_least(1, **{"--batch-size": arguments.batch_size})
    require_at_least(0, **{"--workers": arguments.workers})
    require_device(arguments.device)
    tiles = read_tiles(arguments.tiles, arguments.overlap, arguments.max_pixels)
    if arguments.tta and arguments.tta_as_released:
        raise InputError("--tta and --tta-as-released exclude each other; give one of them.")
    tta = arguments.tta or arguments.tta_as_released
    for flag, given in (
        ("--tta", tta),
        ("--bf16", arguments.bf16),
        ("--tiles", tiles is not None),
        ("--one-label", arguments.one_label),
        ("--lower-duplicates", arguments.lower_duplicates is not None),
        ("--proposals", arguments.proposals is not None),
        ("--short-side", arguments.short_side is not None),
    ):
        if given and of_files:
            raise InputError(f"{flag} needs a detector, but {of_files[0]} holds detections; leave {flag} out.")
    for flag, given in (
        ("--out", out is not None),
        ("--errors", arguments.errors),
        ("--max-dets", max_dets),
        ("--threshold", arguments.threshold),
    ):
        if given and arguments.other is not None:
            raise InputError(f"{flag} is for one detector, but two are compared; leave {flag} out, or one of the two.")
    if out is None:
        return
    if out.suffix not in (".json", ".odgt"):
        raise InputError(f"--out {out}: end its name in .json for COCO results, or in .odgt for CrowdHuman's odgt.")
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"{out} cannot be written; --out names a file in a folder that exists.")


def require_fitting(arguments: EvalArguments, protocol: ScoreProtocol, dataset: DetectionDataset) -> None:
    """Raises InputError for arguments that do not fit the dataset, before inference on all images."""
    require_scorable(protocol, dataset.categories)
    if arguments.other is not None:
        require_annotated(dataset)
    if protocol == "crowdhuman" and arguments.max_dets is not None:
        raise InputError("--max-dets is for COCO's protocol; CrowdHuman's counts all detections, so leave it out.")
    if not dataset.annotated:
        for flag, given in (
            ("--errors", arguments.errors),
            ("--max-dets", arguments.max_dets),
            ("--threshold", arguments.threshold),
        ):
            if given:
                raise InputError(f"{flag} needs ground truth, which {dataset.source} does not have; leave {flag} out.")
    if arguments.out is None:
        if not dataset.annotated:
            name = f"detections_{dataset.source.stem.removeprefix('image_info_')}_uncrowd_results.json"
            raise InputError(
                f"{dataset.source} has no ground truth to score against; write the detections for its evaluation "
                f"server with --out {name}."
            )
    elif arguments.out.suffix == ".odgt":
        if not dataset.annotated:
            raise InputError(
                f"--out {arguments.out}: the evaluation server of {dataset.source} takes COCO results (.json)."
            )
        if len(dataset.categories) > 1:
            raise InputError(
                f"--out {arguments.out}: odgt has only one class, {dataset.source} has {len(dataset.categories)}; "
                "name a .json file."
            )
