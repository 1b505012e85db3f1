"""Trackers of experiments as sinks of a run's log: W&B, MLflow and Trackio, through accelerate."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from accelerate.tracking import GeneralTracker, MLflowTracker, TrackioTracker, WandBTracker

from uncrowd import config
from uncrowd.engine.sink import Row
from uncrowd.errors import InputError
from uncrowd.extras import extras_of

TrackerName = Literal["wandb", "mlflow", "trackio"]

# The project, in MLflow the experiment, of all runs; WANDB_PROJECT and MLFLOW_EXPERIMENT_NAME name another one.
PROJECT = "uncrowd"
# In a run's folder: the id that the run has in each tracker, by the name of the tracker.
IDS = "trackers.json"


class TrackerSink:
    """A run in a tracker, a `Sink`. It is named like the run's folder.

    configuration: what the run is set to, by dotted name; in MLflow a run that goes on keeps the one it began with.
    known: the id of the run that goes on in the tracker, None to begin one; afterwards `id` has it. say: tells the
    user, once, that the tracker has failed; it gets nothing more then, and training continues. Raises InputError when
    the run cannot be started.
    """

    def __init__(
        self,
        name: TrackerName,
        folder: Path,
        configuration: Mapping[str, Any],
        known: str | None,
        say: Callable[[str], None],
    ):
        self.name, self.say, self.failed = name, say, False
        try:
            self.tracker = _build(name, folder, known)
            self.tracker.start()
            if known is None or name != "mlflow":  # which refuses to change the settings of a run
                self.tracker.store_init_configuration(dict(configuration))
            self.id = _id(name, self.tracker)
        except Exception as error:  # whatever the tracker and its network raise
            raise InputError(
                f"{name} cannot start or continue a run: {error}; correct its settings, or leave it out of --log-to."
            ) from error

    def write(self, row: Row) -> None:
        """Logs the numbers of a row at its step."""
        if row.numbers:
            self._try(lambda: self.tracker.log(row.numbers, step=row.step))

    def close(self) -> None:
        """Ends the run in the tracker, where it can be continued."""
        self._try(self.tracker.finish)

    def _try(self, action: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            action()
        except Exception as error:  # whatever the tracker and its network raise
            self.failed = True
            self.say(f"NOTE: {self.name} failed and gets no more of this run; metrics.jsonl has all of it: {error}")


def start_trackers(
    names: Iterable[TrackerName],
    folder: Path,
    configuration: Mapping[str, Any],
    *,
    goes_on: bool,
    say: Callable[[str], None],
) -> list[TrackerSink]:
    """Starts a run in each tracker, in all of them or in none. See `TrackerSink`.

    goes_on: continues, in the trackers that have it, the run of the folder, in which the ids of its runs are kept.
    """
    ids = _read_ids(folder) if goes_on else {}
    with ExitStack() as started:
        trackers = [
            started.enter_context(closing(TrackerSink(name, folder, configuration, ids.get(name), say)))
            for name in names
        ]
        started.pop_all()
    ids |= {tracker.name: tracker.id for tracker in trackers}
    if ids:
        config.save(ids, folder / IDS)
    return trackers


def require_trackers(names: Iterable[TrackerName]) -> None:
    """Raises InputError for a missing package, whose extra it names."""
    for name in names:
        with extras_of(f"--log-to {name}"):
            import_module(name)


def _build(name: TrackerName, folder: Path, known: str | None) -> GeneralTracker:
    """Returns the tracker, whose run is not started yet. known: the id of the run that goes on there, if any."""
    run = folder.resolve().name
    match name:
        case "wandb":
            project = os.environ.get("WANDB_PROJECT", PROJECT)
            return WandBTracker(project, name=run, id=known, resume="allow", dir=str(folder))
        case "mlflow":
            return MLflowTracker(PROJECT, run_name=run, run_id=known)
        case "trackio":
            # It knows a run that goes on by its name, which an earlier run in another folder may have too.
            return TrackioTracker(PROJECT, name=known or run, resume="never" if known is None else "allow")


def _id(name: TrackerName, tracker: Any) -> str:
    match name:
        case "wandb":
            return tracker.tracker.id
        case "mlflow":
            return tracker.tracker.info.run_id
        case "trackio":
            return tracker.tracker.name


def _read_ids(folder: Path) -> dict[str, str]:
    """Returns the ids that the run in a folder has in trackers; none where the file is missing or is no such file."""
    try:
        found = json.loads((folder / IDS).read_text(encoding="utf-8"))
        return {str(name): str(id) for name, id in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}
