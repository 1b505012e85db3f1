"""Stand-ins for the packages of trackers, which record what accelerate calls."""

from types import ModuleType, SimpleNamespace
from typing import Any


class Recorded:
    """The runs of a tracker.

    begun: what each run was begun or continued with. configured, logged: in order, with the id of the run. ended: ids.
    broken: makes each logged row fail, as without a network.
    """

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.configured: list[dict[str, Any]] = []
        self.logged: list[tuple[str, int, dict[str, float]]] = []
        self.ended: list[str] = []
        self.broken = False

    def begin(self, known: str | None, **given: Any) -> str:
        """Returns the id of the run that begins, or of the known one that goes on."""
        self.begun.append({"known": known, **given})
        return known or f"id-{len(self.begun)}"

    def log(self, id: str, step: int, values: dict[str, float]) -> None:
        if self.broken:
            raise ConnectionError("the network is gone")
        self.logged.append((id, step, values))


def wandb(recorded: Recorded) -> ModuleType:
    """Returns a module like wandb."""

    def init(*, id: str | None, **given: Any) -> SimpleNamespace:
        own = recorded.begin(id, **given)
        return _run(recorded, own, id=own)

    return _module("wandb", init=init, config=_config(recorded))


def trackio(recorded: Recorded) -> ModuleType:
    """Returns a module like trackio, whose runs are known by their names."""

    def init(*, name: str, **given: Any) -> SimpleNamespace:
        recorded.begin(name, **given)
        return _run(recorded, name, name=name)

    return _module("trackio", init=init, config=_config(recorded))


def _run(recorded: Recorded, own: str, **known_by: str) -> SimpleNamespace:
    """Returns a run that records what is logged. own: its id."""
    return SimpleNamespace(
        **known_by,
        log=lambda values, step: recorded.log(own, step, values),
        finish=lambda: recorded.ended.append(own),
    )


def _config(recorded: Recorded) -> SimpleNamespace:
    return SimpleNamespace(update=lambda values, allow_val_change: recorded.configured.append(values))


def mlflow(recorded: Recorded) -> ModuleType:
    """Returns a module like mlflow, which has one active run."""
    active: list[str] = []

    def start_run(*, run_id: str | None, **given: Any) -> SimpleNamespace:
        active[:] = [recorded.begin(run_id, **given)]
        return SimpleNamespace(info=SimpleNamespace(run_id=active[0]))

    validation = SimpleNamespace(MAX_PARAM_VAL_LENGTH=6000, MAX_PARAMS_TAGS_PER_BATCH=1000)
    return _module(
        "mlflow",
        search_experiments=lambda filter_string: [],
        create_experiment=lambda name, artifact_location, tags: name,
        start_run=start_run,
        log_params=recorded.configured.append,
        log_metrics=lambda values, step: recorded.log(active[0], step, values),
        end_run=lambda: recorded.ended.append(active.pop()),
        utils=SimpleNamespace(validation=validation),
    )


def _module(name: str, **attributes: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(attributes)
    return module
