"""Training as one call, from Python and from the command line."""

from dataclasses import dataclass
from pathlib import Path

from uncrowd.data.formats.format import BoxKind
from uncrowd.engine.metrics import read_metrics
from uncrowd.recipes import Experiment, experiment_named, small_data
from uncrowd.runs import run as runs
from uncrowd.runs.run import Run, Say


@dataclass(frozen=True)
class TrainedRun:
    """A run and what it left in its folder.

    finished: whether the last epoch was reached. An unfinished run goes on with `uncrowd.resume(run.folder)`.
    """

    folder: Path
    finished: bool

    @property
    def weights(self) -> Path:
        """The weights after the last epoch, which `uncrowd.load` reads; they exist once the run is finished."""
        return self.folder / "weights.safetensors"

    @property
    def best(self) -> Path:
        """The weights of the evaluation with the best headline score; they exist after the first evaluation."""
        return self.folder / "best.safetensors"

    @property
    def scores(self) -> dict[str, float | None]:
        """The scores of the last evaluation, between 0 and 1, by name; empty before the first one.

        None stands for a score that is not defined, such as AP of small objects where there are none.
        """
        rows = [row for row in read_metrics(self.folder / "metrics.jsonl") if row["kind"] == "eval"]
        not_scores = ("kind", "step", "time", "epoch", "per_class")
        return {name: value for name, value in rows[-1].items() if name not in not_scores} if rows else {}


def train(
    data: str | Path,
    experiment: Experiment | str | None = None,
    *,
    out: str | Path | None = None,
    box: BoxKind = "fbox",
    start_from: str | Path | None = None,
    new_class_head: bool = False,
    device: str | None = None,
    dry_run: bool = False,
    say: Say = print,
) -> TrainedRun:
    """Trains a detector on a dataset and returns the run.

    data: the dataset's folder or annotation file. Without a validation split a tenth of the images is held out.
    experiment: what to train and how, or the name of an experiment that `uncrowd info` lists; by default
    `uncrowd.recipes.small_data()`. Its number of classes becomes that of the data. out: a folder that holds no run
    yet; by default runs/NAME-NUMBER. box: which boxes of CrowdHuman's odgt to use. start_from: weights or a run's
    folder of the same model. new_class_head: those weights may have other classes. device: "cpu", "cuda", or by
    default the GPU if there is one. dry_run: take a few steps, say what training would take, and write nothing. say:
    receives each sentence that is said before the first step and after the last one.

    Raises InputError when data, experiment, weights or folder cannot be used, and NonFiniteError when a loss or a
    gradient is not finite.
    """
    if isinstance(experiment, str):
        experiment = experiment_named(experiment)
    elif experiment is None:
        experiment = small_data()
    folder = Path(out) if out is not None else _fresh_folder(experiment.name)
    run = Run(
        experiment=experiment,
        data=str(Path(data).resolve()),
        box=box,
        start_from=None if start_from is None else str(Path(start_from).resolve()),
        new_class_head=new_class_head,
    )
    return TrainedRun(folder, runs.begin(run, folder, device=device, dry_run=dry_run, say=say))


def resume(folder: str | Path, *, device: str | None = None, dry_run: bool = False, say: Say = print) -> TrainedRun:
    """Continues the interrupted run in `folder` with its own data and settings, and returns it.

    The result is the same to the bit as that of a run that was never interrupted. A finished run is left as it is.
    device, dry_run, say: see `train`. Raises InputError when the folder holds no run, or when its checkpoint was
    written with other settings or other data.
    """
    return TrainedRun(Path(folder), runs.resume(Path(folder), device=device, dry_run=dry_run, say=say))


def _fresh_folder(name: str) -> Path:
    number = 1
    while (folder := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return folder
