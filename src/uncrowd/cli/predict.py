"""`uncrowd predict WEIGHTS IMAGE...`: writes annotated images or videos, detections or tracks, and counts."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.cli.counts import Counts
from uncrowd.cli.detected_files import DetectedFiles
from uncrowd.cli.flags import OptionalDevice, OptionalNumber, OptionalPath, OptionalReal, parse, require_device
from uncrowd.cli.image_arguments import given_folders, named_images, named_videos, result_names
from uncrowd.cli.progress import progress_bar
from uncrowd.cli.results_folder import NUMBERED, results_folder
from uncrowd.cli.thresholds import ThresholdWords, choose, read_threshold, without_images
from uncrowd.cli.tiles import read_tiles
from uncrowd.data.classes import split_names
from uncrowd.data.results.csv_rows import writing_counts
from uncrowd.data.results.found import Write
from uncrowd.data.results.predictions import writing_predictions
from uncrowd.data.results.written import OF_EACH_IMAGE, ResultFormat, files_of, writing
from uncrowd.errors import InputError, require_at_least
from uncrowd.inference.load import load
from uncrowd.inference.predictor import Predictor
from uncrowd.inference.tiles import TilesConfig
from uncrowd.inference.tta import TTAConfig
from uncrowd.overwriting import refuse_overwriting
from uncrowd.ranks import Ranks, joined
from uncrowd.structures import Categories
from uncrowd.thresholds import Threshold, keeps_all, require_known
from uncrowd.weights.packaged import offered
from uncrowd.words import counted, one_line

# What is written in any case.
DETECTIONS, COUNTS = "detections.json", "counts.csv"


@dataclass(frozen=True, kw_only=True)
class PredictArguments:
    """Detect and count objects in images: writes each image with its boxes, all detections as JSON, and counts as CSV.

    Boxes are in pixels of the given image; the drawing of a small image is enlarged.

    In videos, follow objects from frame to frame (needs uncrowd[video]): writes each video with the boxes and ids of
    tracks, the tracks as .jsonl and as MOTChallenge's .txt, and their numbers as CSV.

    Images that cannot be read, and pages after the first of a file, are reported and left out, and the exit status is
    then 2. Several processes that torchrun starts share the images and give one result.
    """

    weights: Annotated[
        Positional[Path],
        arg(
            metavar="WEIGHTS",
            help=f"Weights (.safetensors), the folder of a run, or an exported detector (.onnx, .xml){offered()}.",
        ),
    ]
    # Image files, video files or folders; folders are searched with their subfolders. A call is about images or videos.
    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE|VIDEO|FOLDER ...", help_behavior_hint="")] = ()
    # Follow what the camera of this index shows (0 is the first), until Ctrl-C.
    camera: OptionalNumber = None
    # Count the tracks in a video that cross the line between two points, in pixels of the frame: in from the right to
    # the left of who stands at the first and faces the second, out the other way.
    line: Annotated[str | None, arg(metavar="X1,Y1,X2,Y2", help_behavior_hint="")] = None
    # Count the objects in a video that stand in this polygon, in each frame.
    zone: Annotated[str | None, arg(metavar="X,Y,X,Y,X,Y[,...]", help_behavior_hint="")] = None
    # Folder for the annotated images, detections.json and counts.csv. By default the first free runs/predict/NUMBER.
    out: OptionalPath = None
    # Replace the results that --out holds already.
    overwrite: bool = False
    # Report and count only detections with at least this score: one number, or one for each class (person=0.4
    # "traffic light=0.2"). By default detections are those of the best F1 on validation data, and counts those with the
    # least error there; weights without such thresholds use 0.3 for both.
    threshold: ThresholdWords = ()
    # Report and count only these classes, such as person,dog. Double quotes keep a name with a comma together:
    # 'person,"dog, small"'.
    only: Annotated[str | None, arg(metavar="CLASS[,CLASS...]", help_behavior_hint="")] = None
    # Each box gets only its best class, so that no object is counted twice. By default, as in the paper, a box may have
    # several.
    one_label: bool = False
    # Write the detections in these formats as well: coco (a dataset, for annotation tools), csv (a row for each), yolo,
    # voc, odgt, crops (an image of each).
    format: Annotated[
        tuple[ResultFormat, ...], arg(metavar="{coco,csv,yolo,voc,odgt,crops} [...]", help_behavior_hint="")
    ] = ()
    # Write only detections.json and counts.csv (of videos, .jsonl, .txt and counts.csv), and not what is annotated.
    json_only: bool = False
    # Test-time augmentation: detect in each image at 13 sizes, each also flipped, as in Table 7 of the paper. This
    # takes about 40 times as long.
    tta: bool = False
    # Compute in bfloat16. This is faster on a GPU and on a CPU with instructions for it, and changes results slightly.
    bf16: bool = False
    # Compile the model (torch.compile). This pays for many images of one size: each size is compiled once, in about
    # half a minute on a GPU and some minutes on a CPU.
    compile: bool = False
    # Lower the score of a detection for each better one of its class that overlaps it, by 1 - IoU ^ FLOAT; 2 to 4 help
    # where training was short. Nothing is deleted. By default as in training; inf switches it off.
    lower_duplicates: OptionalReal = None
    # Number of detections an image, for a model with dense queries; by default that of its training.
    proposals: OptionalNumber = None
    # Pixels to which the short side of an image (with --tiles, of a tile) is resized; by default those of training.
    # More find smaller objects, and need more time and memory. Not with --tta, which has its own sizes.
    short_side: OptionalNumber = None
    # Number of images or frames (with --tiles, of tiles) in a batch; it changes speed and memory, and in fp32 the last
    # bits of results.
    batch_size: int = 4
    # For large images: cut each into square tiles of this many pixels, detect in each, and merge what is found. Objects
    # in a resized tile should be as large as in training; of a detector trained with --augment.tile, give that size.
    tiles: OptionalNumber = None
    # Pixels that neighbouring tiles share, by default a fifth of --tiles: an object up to this wide and high is whole
    # in some tile.
    overlap: OptionalNumber = None
    # Width times height up to which an image is decoded; larger ones are left out. By default 178,956,970, with --tiles
    # 1,000,000,000.
    max_pixels: OptionalNumber = None
    # Device to compute on: cpu, cuda, cuda:1 (the second GPU) or mps (the GPU of a Mac). By default a GPU if there is
    # one, else the CPU.
    device: OptionalDevice = None


def main(argv: Sequence[str]) -> int:
    """Detects in one batch after another. Returns 2 if some images could not be read, else 0."""
    arguments = parse(PredictArguments, argv, "uncrowd predict")
    words, images = without_images(arguments.threshold)
    wanted, images = read_threshold(words), (*arguments.images, *images)
    require_at_least(1, **{"--batch-size": arguments.batch_size})
    tiles = read_tiles(arguments.tiles, arguments.overlap, arguments.max_pixels)
    require_device(arguments.device)
    results = {NUMBERED, arguments.out or NUMBERED}
    with joined() as ranks:
        videos = named_videos(images, results) if arguments.camera is None else []
        if videos or arguments.camera is not None:
            return _track(arguments, videos, images, wanted, tiles, ranks)
        _refuse_flags_of_videos(arguments)
        return _predict(arguments, images, wanted, tiles, ranks)


def _predict(
    arguments: PredictArguments,
    images: Sequence[Path],
    wanted: Threshold | None,
    tiles: TilesConfig | None,
    ranks: Ranks,
) -> int:
    files = ranks.once(lambda: named_images(images, {NUMBERED, arguments.out or NUMBERED}))
    folders = given_folders(images)
    names = result_names(files, folders)
    _refuse_overwriting(arguments, files, list(names.values()))
    predictor = _load(arguments, tiles, ranks)
    only = _classes(arguments.only, predictor.categories)
    threshold = choose(wanted, predictor, only)
    _require_writable(arguments.format, only)
    in_rows = arguments.json_only and tiles is not None and "crops" not in arguments.format
    step = 1 if in_rows else arguments.batch_size  # such a file proves damaged only while it is detected in
    counts = Counts(only)
    full: list[str] = []
    read = objects = pages = 0
    with (
        results_folder(arguments.out, ranks) as out,
        _writing(arguments.format, out, only, predictor.categories, ranks) as (of_each, of_all),
        progress_bar("detecting") as on_file,
    ):
        detect = DetectedFiles(
            predictor=predictor,
            batch_size=arguments.batch_size,
            only=only,
            threshold=threshold,
            out=None if arguments.json_only else out,
            folders=folders,
            names=names,
            writers=of_each,
            in_rows=in_rows,
        )
        batches = [files[start : start + step] for start in range(0, len(files), step)]
        for done, (said, image, in_file, of_full) in enumerate(ranks.each(batches, detect), start=1):
            for line in said:
                print(line, file=sys.stderr)
            if image is not None:
                for write in of_all:
                    write(image)
                counts.add(image.below, {name: image.counts[name] for name in only})
                full += [] if of_full is None else [f"{image.file}: {of_full}"]
                read, objects, pages = read + 1, objects + len(image.detections), pages + in_file
            on_file(done, len(files))
    if full and not keeps_all(threshold.counted):
        others = f"; full, too: {counted(len(full) - 1, 'other image')}" if len(full) > 1 else ""
        print(one_line(f"note: {full[0]}{others}"), file=sys.stderr)
    if read:
        print(f"counts of objects with a score of {threshold.counted_words}:\n{counts.in_words()}")
    left_out = f", {len(files) - read} left out" if read < len(files) else ""
    print(
        f"{objects} objects with a score of {threshold.shown_words} in {counted(read, 'image')}{left_out}; "
        f"written to {out}"
    )
    if read and threshold.note is not None:
        print(threshold.note)
    return 0 if read == pages == len(files) else 2


def _track(
    arguments: PredictArguments,
    videos: Sequence[Path],
    images: Sequence[Path],
    wanted: Threshold | None,
    tiles: TilesConfig | None,
    ranks: Ranks,
) -> int:
    from uncrowd.cli.video import VideoOutput, read_points, track_videos  # needs an extra

    if ranks.size > 1:
        raise InputError("Objects in a video are followed by one process; start the command without torchrun.")
    if arguments.camera is not None and images:
        raise InputError("--camera is given, and files as well; give one of the two.")
    if arguments.format:
        raise InputError("--format is for images; leave it out, and read the .txt and .jsonl that videos give.")
    output = VideoOutput(
        names={file: name.with_suffix("") for file, name in result_names(videos, given_folders(images)).items()},
        camera=arguments.camera,
        line=read_points(arguments.line, "--line"),
        zone=read_points(arguments.zone, "--zone"),
        annotated=not arguments.json_only,
    )
    output.refuse_overwriting(arguments.out, replace=arguments.overwrite)
    predictor = _load(arguments, tiles, ranks)
    only = _classes(arguments.only, predictor.categories)
    threshold = choose(wanted, predictor, only)
    with results_folder(arguments.out) as out:
        return track_videos(predictor, output, out, threshold, only, arguments.batch_size)


def _refuse_flags_of_videos(arguments: PredictArguments) -> None:
    for name, value in (("--line", arguments.line), ("--zone", arguments.zone)):
        if value is not None:
            raise InputError(f"{name} counts tracks in videos, and there is none; leave it out, or name a video.")


def _load(arguments: PredictArguments, tiles: TilesConfig | None, ranks: Ranks) -> Predictor:
    return load(
        arguments.weights,
        ranks.device(arguments.device),
        TTAConfig() if arguments.tta else None,
        bf16=arguments.bf16,
        compiled=arguments.compile,
        max_pixels=arguments.max_pixels,
        proposals=arguments.proposals,
        short_side=arguments.short_side,
        tiles=tiles,
        one_label=arguments.one_label,
        lower_duplicates=arguments.lower_duplicates,
    )


def _classes(only: str | None, categories: Categories) -> list[str]:
    if only is None:
        return list(categories.names)
    wanted = split_names(only)
    if not wanted:
        raise InputError(f"--only {only} names no class; give one or several, such as {categories.names[0]}.")
    require_known(wanted, categories.names)
    return [name for name in categories.names if name in wanted]


def _require_writable(formats: Sequence[ResultFormat], only: Sequence[str]) -> None:
    if "odgt" in formats and len(only) > 1:
        raise InputError(f"--format odgt holds one class, but {len(only)} are reported; choose one: --only {only[0]}.")


@contextmanager
def _writing(
    formats: Sequence[ResultFormat], out: Path, only: Sequence[str], categories: Categories, ranks: Ranks
) -> Iterator[tuple[list[Write], list[Write]]]:
    """Yields the functions that write files of one image, and on the first rank those that add to files of all."""
    formats = list(dict.fromkeys(formats))
    with ExitStack() as stack:
        of_each = [stack.enter_context(writing(each, out, categories)) for each in formats if each in OF_EACH_IMAGE]
        contexts = [writing_predictions(out / DETECTIONS), writing_counts(out / COUNTS, only)]
        contexts += [writing(each, out, categories) for each in formats if each not in OF_EACH_IMAGE]
        yield of_each, [stack.enter_context(context) for context in contexts] if ranks.is_main else []


def _refuse_overwriting(arguments: PredictArguments, files: Sequence[Path], names: Sequence[Path]) -> None:
    """Raises InputError where a file of this call would replace an image, or earlier results without --overwrite."""
    if arguments.out is not None:  # a new folder is empty
        written = [Path(DETECTIONS), Path(COUNTS), *([] if arguments.json_only else names)]
        written += [file for format in arguments.format for file in files_of(format, names)]
        targets = [arguments.out / file for file in written]
        refuse_overwriting(targets, files, mend="name another folder with --out", replace=arguments.overwrite)
