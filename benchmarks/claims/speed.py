"""Times training and inference of the detectors of the claims on one core, in turns within one process."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import torch
from benchmarks.claims.dense import DENSE, DENSE_FEW_COMPETE
from benchmarks.claims.effects import BASELINE, CORNERS, IN_WORDS
from benchmarks.claims.lines import all_lines
from benchmarks.claims.ours import OurDetector
from benchmarks.claims.run import Places
from benchmarks.claims.settings import Detector, Line, Training
from benchmarks.claims.tables import NOT_YET, markdown
from benchmarks.claims.torchvision_model import Kind
from benchmarks.claims.torchvision_peers import TorchvisionDetector
from benchmarks.record import append
from benchmarks.turns import Rounds, ratios, take_turns, with_spread

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.loader import InferenceLoader, TrainLoader
from uncrowd.engine.accelerator import build_accelerator
from uncrowd.engine.train import Trainer
from uncrowd.errors import InputError, require_at_least
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.inference.predictor import Predictor
from uncrowd.models.build import build_detector
from uncrowd.recipes import Experiment
from uncrowd.structures import Batch

# The file of the measurements, beside that of the lines.
SPEED = "speed.jsonl"
# Images at a time at inference.
BATCHES = (1, 8)
STEP = "training step"


@dataclass(frozen=True, kw_only=True)
class Turns:
    """How long a measurement is; this is what its record shows."""

    # Rounds, after one that is not counted.
    rounds: int = 5
    # Batches of a turn.
    steps: int = 4

    def __post_init__(self) -> None:
        """Raises InputError for numbers with which nothing is timed."""
        require_at_least(1, **{"--rounds": self.rounds, "--steps": self.steps})


@dataclass(frozen=True, kw_only=True)
class Speed(Turns):
    """Time the paper's detectors and torchvision's on one core, in turns, and record the seconds."""

    # Where runs and results are kept.
    places: Places = field(default_factory=Places)


def measure(command: Speed, lines: Sequence[Line] | None = None) -> dict[str, Rounds]:
    """Times detectors in turns, prints ratios to the baseline, and appends the seconds as a line of JSON.

    lines: one for each detector, by default those of the paper's Tables 3 and 4, dense queries and torchvision's.
    Weights are random, and all detectors see the images of the first line's dataset. Inference is timed for ours alone,
    because random weights do not give NMS what trained ones do. Returns the seconds of each round, by what was timed
    and by detector.
    """
    torch.set_num_threads(1)
    kept = keep_freed_memory()
    chosen = {line.detector.name: line for line in (_timed() if lines is None else lines)}
    splits = open_dataset(next(iter(chosen.values())).dataset.write(command.places.work / "data"))
    assert splits.train is not None, "a dataset of the claims has all splits"
    assert splits.val is not None, "a dataset of the claims has all splits"
    assert splits.test is not None, "a dataset of the claims has all splits"
    turns: dict[str, dict[str, Callable[[], None]]] = {STEP: {}} | {_inference(batch): {} for batch in BATCHES}
    with TemporaryDirectory() as folder:
        for name, line in chosen.items():
            training = Training(
                dataset=line.dataset,
                budget=line.budget,
                seed=line.seed,
                data=command.places.work,
                train=splits.train,
                val=splits.val,
                folder=Path(folder) / name,
                device="cpu",
                say=print,
            )
            turns[STEP][name] = _training(line.detector, training, command.steps)
            if isinstance(line.detector, OurDetector):
                experiment = line.detector.experiment(line.dataset, line.budget, line.seed)
                for batch in BATCHES:
                    turns[_inference(batch)][name] = _detecting(experiment, splits.test, batch, command.steps)
        seconds = {what: take_turns(contestants, command.rounds) for what, contestants in turns.items()}
    record = {"seconds": seconds, "freed_memory_kept": kept}
    append(command.places.results / SPEED, "claims speed", Turns(rounds=command.rounds, steps=command.steps), record)
    print(speed_table(last_speed(command.places.results / SPEED)))
    return seconds


def _timed() -> list[Line]:
    """Returns a line of each corner and of dense queries, and of torchvision's detectors with any learning rate."""
    corners = [next(line for line in all_lines() if line.detector.name == corner) for corner in CORNERS]
    peers = [TorchvisionDetector(kind=kind, learning_rate=1e-4) for kind in get_args(Kind)]
    return [*corners, *(replace(corners[0], detector=other) for other in (DENSE, DENSE_FEW_COMPETE, *peers))]


def _inference(batch: int) -> str:
    return f"inference, batch {batch}"


def _training(detector: Detector, training: Training, steps: int) -> Callable[[], None]:
    """Returns what takes so many steps of training, always with the same batches, which are loaded before."""
    match detector:
        case OurDetector():
            trainer = _our_trainer(detector.experiment(training.dataset, training.budget, training.seed), training)
        case TorchvisionDetector():
            experiment = detector.experiment(training.dataset, training.budget, training.seed)
            trainer = detector._trainer(training, experiment)  # private, because only its steps are wanted
        case _:
            raise InputError(f"{detector.name} trains in a way of its own; time our detectors and torchvision's.")
    return partial(_step, trainer, list(islice(trainer.loader.epoch(0), steps)))


def _our_trainer(experiment: Experiment, training: Training) -> Trainer:
    settings, train = experiment.train, training.train
    torch.manual_seed(settings.seed)
    return Trainer(
        build_detector(_for(experiment, train).model, torch.device("cpu")),
        experiment.criterion(),
        TrainLoader(train, experiment.augment, seed=settings.seed, batch_size=settings.batch_size),
        settings,
        experiment.optim,
        build_accelerator("cpu"),
        training.folder / "never written",
        facts={},
    )


def _step(trainer: Trainer, batches: Sequence[Batch]) -> None:
    for batch in batches:
        trainer._step(batch)  # private, because only the loop around it is left out


def _detecting(experiment: Experiment, test: DetectionDataset, images: int, steps: int) -> Callable[[], None]:
    """Returns what detects in so many batches, which are read before."""
    model = build_detector(_for(experiment, test).model, torch.device("cpu"))
    predictor = Predictor(model, test.categories, experiment.resize)
    loader = InferenceLoader(
        test.subset(range(images * steps)), experiment.resize, multiple=predictor.model.multiple, batch_size=images
    )
    return partial(_detect, predictor, list(loader))


def _detect(predictor: Predictor, batches: Sequence[Batch]) -> None:
    for batch in batches:
        predictor.predict_batch(batch)


def _for(experiment: Experiment, dataset: DetectionDataset) -> Experiment:
    return replace(experiment, model=replace(experiment.model, num_classes=len(dataset.categories)))


def last_speed(file: Path) -> dict[str, Any] | None:
    """Returns the last measurement of a file; None if there is none. Raises InputError if it cannot be read."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError as error:
        raise InputError(f"{file}: line {len(lines)} is no measurement ({error}); remove it.") from error


def step_factors(speed: Mapping[str, Any] | None) -> dict[str, float]:
    """Returns the seconds of a training step of each detector, as a multiple of the baseline's of the same round."""
    rounds: Rounds = {} if speed is None else speed["seconds"][STEP]
    if BASELINE not in rounds:
        return {}
    return {name: statistics.median(ratios(rounds[BASELINE], seconds)) for name, seconds in rounds.items()}


def speed_table(speed: Mapping[str, Any] | None) -> str:
    """Returns the speed of each detector as a multiple of the baseline's, with its range over rounds."""
    if speed is None:
        return NOT_YET
    by_what: Mapping[str, Rounds] = speed["seconds"]
    names = list(by_what[STEP])
    rows = []
    for name in names:
        step = statistics.median(by_what[STEP][name]) / speed["steps"]
        cells = [
            with_spread(ratios(rounds[name], rounds[names[0]])) if name in rounds else "" for rounds in by_what.values()
        ]
        rows.append([IN_WORDS.get(name, name), f"{step:.2f}", *cells])
    head = ["detector", "seconds a training step", *(f"{what}, as fast as the first" for what in by_what)]
    return f"{markdown(head, rows)}\n\n{speed['rounds']} rounds at commit `{speed['commit']}` on {speed['machine']}."
