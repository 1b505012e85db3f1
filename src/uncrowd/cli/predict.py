"""`uncrowd predict CHECKPOINT PICTURES...`: annotated pictures and JSON."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import tyro
from PIL import Image

from uncrowd.cli.progress import batches_done
from uncrowd.data.picture import read_picture
from uncrowd.errors import InputError
from uncrowd.inference.predictor import Predictor, load
from uncrowd.structures import Detections
from uncrowd.visualize.draw import draw_detections


@dataclass(frozen=True, kw_only=True)
class PredictArguments:
    """Detect objects in pictures; writes each with its boxes drawn in, and all detections as one JSON file."""

    # Weights (.safetensors) or a run's folder.
    checkpoint: tyro.conf.Positional[Path]
    # Picture files, or folders of them.
    pictures: tyro.conf.Positional[tuple[Path, ...]]
    # Folder for the annotated pictures and detections.json.
    out: Path = Path("predictions")
    # Only detections with at least this score.
    threshold: float = 0.3
    # Write the JSON alone.
    json_only: bool = False
    # Pictures at a time; it changes speed and memory alone.
    batch_size: int = 4
    # "cpu", or by default the GPU where there is one.
    device: str | None = None


def main(argv: Sequence[str]) -> int:
    """Predicts; a picture that cannot be read is said and left out, and then the status is 2."""
    arguments = tyro.cli(PredictArguments, args=list(argv), prog="uncrowd predict")
    files = find_pictures(arguments.pictures)
    predictor = load(arguments.checkpoint, arguments.device)
    _writable(arguments.out)
    records, unreadable = [], 0
    with batches_done("detecting") as on_batch:
        for done, chunk in enumerate(_chunks(files, arguments.batch_size), start=1):
            for file, result in _predict(predictor, chunk, arguments):
                if isinstance(result, InputError):
                    unreadable += 1
                    print(f"left out: {result}", file=sys.stderr)
                    continue
                records.append(_record(file, result))
                if not arguments.json_only:
                    _draw(file, result, arguments.out / _name(file, arguments.pictures))
            on_batch(done, -(-len(files) // arguments.batch_size))
    (arguments.out / "detections.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    found = sum(len(record["detections"]) for record in records)
    print(
        f"{found} objects with a score of {arguments.threshold:g} or more in {len(records)} pictures: {arguments.out}"
    )
    return 2 if unreadable else 0


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Returns the files, and the pictures of the folders, by name. Raises InputError where there is nothing."""
    files: list[Path] = []
    endings = set(Image.registered_extensions())
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in endings)
            if not inside:
                raise InputError(f"{path} has no pictures in it; give picture files or a folder of them.")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise InputError(f"{path} does not exist; give picture files or a folder of them.")
    return files


def _predict(
    predictor: Predictor, files: list[Path], arguments: PredictArguments
) -> Iterator[tuple[Path, Detections | InputError]]:
    """Each file with what was found in it, or why it could not be read."""
    arrays = {}
    for file in files:
        try:
            arrays[file] = read_picture(file)
        except InputError as error:
            yield file, error
    found = predictor.predict(list(arrays.values()), arguments.threshold, arguments.batch_size)
    yield from zip(arrays, found, strict=True)


def _record(file: Path, detections: Detections) -> dict:
    rows = zip(
        detections.names,
        detections.scores.tolist(),
        detections.boxes.tolist(),
        strict=True,
    )
    return {
        "picture": str(file),
        "detections": [
            {"class": name, "score": round(score, 4), "box_xyxy": [round(value, 2) for value in box]}
            for name, score, box in rows
        ],
    }


def _draw(file: Path, detections: Detections, target: Path) -> None:
    captions = [f"{name} {score:.2f}" for name, score in zip(detections.names, detections.scores.tolist(), strict=True)]
    picture = draw_detections(
        read_picture(file), detections.boxes.numpy(), labels=detections.labels.numpy(), captions=captions
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(target, quality=92)


def _name(file: Path, given: Sequence[Path]) -> Path:
    """Where the annotated picture goes: below the folder it was found in, as it was there."""
    folder = next((path for path in given if path.is_dir() and file.is_relative_to(path)), file.parent)
    return file.relative_to(folder).with_suffix(".jpg")


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "detections.json").touch()
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); name another folder with --out.") from error


def _chunks(files: list[Path], size: int) -> Iterator[list[Path]]:
    remaining = iter(files)
    while chunk := list(islice(remaining, size)):
        yield chunk
