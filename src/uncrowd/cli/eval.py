"""`uncrowd eval WHAT [OTHER] --data DATA`: scores a detector, or detections in a file, or compares two."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from uncrowd import config
from uncrowd.cli.eval_arguments import EvalArguments, require_fitting, require_usable
from uncrowd.cli.flags import parse
from uncrowd.cli.method import choose_classes, choose_split, found_in, held_out_of, holds_detections, load_for
from uncrowd.cli.progress import progress_bar
from uncrowd.cli.thresholds import complete, read_threshold
from uncrowd.cli.tiles import read_tiles
from uncrowd.data.check.detections import check_detections
from uncrowd.data.classes import ClassMap, keep_classes
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_split
from uncrowd.data.problems import refuse
from uncrowd.data.results.coco import CocoResults
from uncrowd.data.results.file import read_results, write_detections
from uncrowd.data.results.odgt import OdgtResults
from uncrowd.evaluation.analysis.errors import ErrorAnalysis, analyse_errors
from uncrowd.evaluation.analysis.table import error_table
from uncrowd.evaluation.coco import limits_up_to
from uncrowd.evaluation.comparison.bootstrap import Comparison
from uncrowd.evaluation.protocol import Scores
from uncrowd.inference.compare import compare
from uncrowd.inference.evaluate import count_threshold, detect, evaluate, most_found
from uncrowd.inference.predictor import Predictor
from uncrowd.inference.tta import RELEASED_TTA, TTAConfig
from uncrowd.overwriting import refuse_overwriting
from uncrowd.ranks import Ranks, joined
from uncrowd.structures import Detections, ImageId, ScoreProtocol
from uncrowd.thresholds import DEFAULT_THRESHOLD, Threshold, in_words, require_known
from uncrowd.words import counted, listed

PROTOCOL_NAMES: dict[ScoreProtocol, str] = {"coco": "COCO", "crowdhuman": "CrowdHuman"}


def main(argv: Sequence[str]) -> int:
    """Prints the scores."""
    arguments = parse(EvalArguments, argv, "uncrowd eval")
    methods = [arguments.what] if arguments.other is None else [arguments.what, arguments.other]
    of_files = [method for method in methods if holds_detections(method)]
    wanted = read_threshold(arguments.threshold)
    require_usable(arguments, of_files)
    with joined() as ranks:
        _evaluate(arguments, methods, of_files, wanted, ranks)
    return 0


def _evaluate(
    arguments: EvalArguments, methods: list[Path], of_files: list[Path], wanted: Threshold | None, ranks: Ranks
) -> None:
    layout = find_layout(arguments.data)
    targets = [] if arguments.out is None else [arguments.out]
    refuse_overwriting(targets, [*methods, *layout.files], mend="name another file with --out")
    split = choose_split(layout, arguments.split)
    results = {file: read_results(file) for file in of_files}
    of_all_classes = open_split(
        layout,
        split,
        images_needed=len(of_files) < len(methods),
        box=arguments.box,
        # CrowdHuman's ground truth does not hold the sizes of the images, but detections often do.
        sizes={id: size for file in results.values() for id, size in file.sizes.items()} if results else None,
    )
    classes = choose_classes(arguments.classes, arguments.what)
    dataset = of_all_classes if classes is None else keep_classes(of_all_classes, classes)
    dataset = held_out_of(dataset, layout, arguments.split, methods)
    protocol = arguments.protocol or dataset.protocol
    require_fitting(arguments, protocol, dataset)
    if isinstance(wanted, Mapping):
        require_known(wanted, dataset.categories.names)
    found = [
        _find(arguments, method, results.get(method), dataset, of_all_classes, classes, ranks) for method in methods
    ]
    if not ranks.is_main:
        return
    detections, most, threshold = found[0]
    if arguments.other is not None:
        both = (threshold, found[1].threshold)
        comparison = compare(detections, found[1].detections, dataset, protocol=protocol, thresholds=both)
        _print_comparison(arguments, comparison, dataset, both)
        return
    if arguments.out is not None:
        write_detections(arguments.out, detections, {sample.id: sample.size for sample in dataset})
    if dataset.annotated:
        max_dets = arguments.max_dets or limits_up_to(most)
        if wanted is not None:
            threshold = complete(wanted, dataset.categories.names, threshold)
        scores = evaluate(detections, dataset, protocol=protocol, max_dets=max_dets, threshold=threshold)
        errors = analyse_errors(dataset, detections, dataset.categories) if arguments.errors else None
        _print_scores(arguments, protocol, dataset, scores, errors)
    else:
        said = (
            f"{dataset.source} has no ground truth, so nothing is scored; {arguments.out} is for the evaluation server"
        )
        print(said, file=sys.stderr if arguments.json else sys.stdout)
        if arguments.json:
            print("{}")


class _Found(NamedTuple):
    """The detections in the images, the most that an image can have, and the threshold of those that are counted."""

    detections: dict[ImageId, Detections]
    most: int
    threshold: Threshold


def _find(
    arguments: EvalArguments,
    method: Path,
    results: CocoResults | OdgtResults | None,
    dataset: DetectionDataset,
    of_all_classes: DetectionDataset,
    classes: ClassMap | None,
    ranks: Ranks,
) -> _Found:
    """Returns what a detector finds, or what is in a file.

    results: None for a detector. of_all_classes: see `found_in`.
    """
    if results is None:
        predictor = _load(arguments, method, dataset, ranks)
        detections = _detect(arguments, predictor, dataset, ranks)
        return _Found(detections, most_found(predictor, detections), count_threshold(predictor, dataset, None))
    of_all = found_in(results, of_all_classes, classes)
    detections = {id: of_all[id] for id in dataset.ids.tolist()}
    findings = check_detections(detections, dataset)
    refuse(findings, method)
    for finding in findings:
        print(finding.sentence(), file=sys.stderr)
    return _Found(detections, max(map(len, detections.values()), default=0), DEFAULT_THRESHOLD)


def _load(arguments: EvalArguments, method: Path, dataset: DetectionDataset, ranks: Ranks) -> Predictor:
    tta = RELEASED_TTA if arguments.tta_as_released else TTAConfig() if arguments.tta else None
    tiles = read_tiles(arguments.tiles, arguments.overlap, arguments.max_pixels)
    return load_for(
        dataset,
        method,
        ranks.device(arguments.device),
        tta=tta,
        bf16=arguments.bf16,
        max_pixels=arguments.max_pixels,
        proposals=arguments.proposals,
        short_side=arguments.short_side,
        tiles=tiles,
        one_label=arguments.one_label,
        lower_duplicates=arguments.lower_duplicates,
    )


def _detect(
    arguments: EvalArguments, predictor: Predictor, dataset: DetectionDataset, ranks: Ranks
) -> dict[ImageId, Detections]:
    with progress_bar("scoring") as on_batch:
        detected = detect(
            predictor,
            dataset,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            ranks=ranks,
            on_batch=on_batch,
        )
    if detected.unreadable:
        many, some = counted(len(detected.unreadable), "image"), listed(detected.unreadable, 10)
        print(f"{many} cannot be read and count as without detections:{some}", file=sys.stderr)
    return detected.detections


def _print_scores(
    arguments: EvalArguments,
    protocol: ScoreProtocol,
    dataset: DetectionDataset,
    scores: Scores,
    errors: ErrorAnalysis | None,
) -> None:
    if arguments.json:
        per_class = {"per_class": scores.per_class} if protocol == "coco" else {}
        analysis = {"errors": errors.to_dict()} if errors is not None else {}
        counting = {"counting": config.to_dict(scores.counting)}
        print(json.dumps({**scores.values, **per_class, **counting, **analysis}, allow_nan=False))
    else:
        name = PROTOCOL_NAMES[protocol]
        print(f"{arguments.what} on the {len(dataset)} images of {dataset.source}, {name} protocol:")
        print(scores.table())
        if errors is not None:
            print(f"\n{error_table(errors)}")


def _print_comparison(
    arguments: EvalArguments, comparison: Comparison, dataset: DetectionDataset, counted: tuple[Threshold, Threshold]
) -> None:
    if arguments.json:
        print(json.dumps(comparison.to_dict(), allow_nan=False))
    else:
        print(f"A: {arguments.what}\nB: {arguments.other}\non the {len(dataset)} images of {dataset.source}:")
        a, b = map(in_words, counted)
        print(f"{comparison.table()}\ncounted are scores of A of {a} or more, of B of {b} or more")
        print(f"\n{comparison.answer()}")
