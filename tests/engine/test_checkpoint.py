"""A checkpoint that cannot be written or read is said in a sentence, and the previous one stays."""

import json
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from safetensors.torch import load_file, save_file

from uncrowd.engine.train import Trainer
from uncrowd.errors import InputError
from uncrowd.weights.file import write_safetensors
from uncrowd.whole_file import whole_file

Build = Callable[..., Trainer]


@pytest.fixture
def saved(build: Build) -> Trainer:
    """Returns a trainer that has taken 2 steps and written its checkpoint."""
    trainer = build()
    for step, batch in enumerate(list(trainer.loader.epoch(0))[:2], start=1):
        trainer._step(batch)
        trainer.position = trainer.position._replace(step=step)
    trainer.best = 0.1 + 0.2  # a number that needs all its digits
    trainer._save()
    return trainer


@pytest.fixture
def small_files() -> Iterator[None]:
    """Lets the system write only 100 kB to a file, as if the disk were full then."""
    resource = pytest.importorskip("resource", reason="Windows limits no sizes of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_everything_comes_back(saved: Trainer, build: Build) -> None:
    fresh = build()
    fresh.resume()
    assert fresh.position == saved.position == (0, 2)
    assert fresh.global_step == 2
    assert fresh.best == saved.best
    pairs = [(fresh.learner.bare_model, saved.learner.bare_model), (fresh.learner.average, saved.learner.average)]
    for ours, theirs in pairs:
        assert ours is not None
        assert theirs is not None
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], tensor), name
    pairs = zip(fresh.learner.bare_model.parameters(), saved.learner.bare_model.parameters(), strict=True)
    for ours, theirs in pairs:
        state, expected = fresh.learner.optimizer.state[ours], saved.learner.optimizer.state[theirs]
        assert state.keys() == expected.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(state[key], expected[key]) for key in expected)
        assert all(state[key].stride() == ours.stride() for key in ("exp_avg", "exp_avg_sq")), "laid out alike"
    average, model = saved.learner.average, saved.learner.bare_model
    assert average is not None
    assert not torch.equal(next(average.parameters()), next(model.parameters())), "there was something to mix up"


def test_a_full_disk_leaves_the_checkpoint_before(
    saved: Trainer, build: Build, small_files: None, capfd: pytest.CaptureFixture[str]
) -> None:
    before = saved.checkpoint.read_bytes()
    saved.position = saved.position._replace(step=3)
    with pytest.raises(InputError, match=r"last\.safetensors cannot be written: .* is untouched\.") as caught:
        saved._save()
    assert "\n" not in str(caught.value)
    assert saved.checkpoint.read_bytes() == before
    assert [path.name for path in saved.checkpoint.parent.iterdir()] == ["last.safetensors"], "nothing half written"
    fresh = build()
    fresh.resume()
    assert fresh.position == (0, 2)


def test_no_space_left_is_said(saved: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("uncrowd.weights.file.save_file", full)
    with pytest.raises(InputError, match="No space left on device"):
        saved._save()


def test_a_kill_while_writing_leaves_the_checkpoint_before(saved: Trainer, build: Build) -> None:
    killed = whole_file(saved.checkpoint)  # it is entered and never left
    killed.__enter__().write_bytes(b"half a file")
    assert len(list(saved.checkpoint.parent.iterdir())) == 2
    fresh = build()
    fresh.resume()
    assert fresh.position == (0, 2)
    fresh._save()
    assert [path.name for path in saved.checkpoint.parent.iterdir()] == ["last.safetensors"]


def test_a_kill_within_safetensors_leaves_nothing_for_long(saved: Trainer) -> None:
    """It writes to a file of random name first, as large as the checkpoint."""
    scratch = saved.checkpoint.parent / ".last.safetensors.saving"
    scratch.mkdir()
    (scratch / ".tmpSNYjPH").write_bytes(b"half a file")
    (saved.checkpoint.parent / ".tmpOfTheUser").write_bytes(b"a file of somebody else")
    saved._save()
    assert {path.name for path in saved.checkpoint.parent.iterdir()} == {"last.safetensors", ".tmpOfTheUser"}


def test_other_settings_are_named(saved: Trainer, build: Build) -> None:
    other = build()
    other.facts["configuration"] |= {"epochs": 5, "new": None, "mean": (1.0, 3.0)}
    with pytest.raises(InputError) as caught:
        other.resume()
    said = "configuration.epochs was 2 and is 5, configuration.mean was [1.0, 2.0] and is [1.0, 3.0]; "
    assert said in str(caught.value)
    assert "configuration.new" not in str(caught.value), "None is what a missing setting is"


def test_the_checkpoint_of_a_detr_may_say_channel_weighting(saved: Trainer, build: Build) -> None:
    """An earlier version wrote that key where this one writes `interaction`."""
    saved.facts = {"configuration": {"model": {"kind": "DETRConfig", "channel_weighting": True}}}
    saved._save()
    fresh = build()
    fresh.facts = {"configuration": {"model": {"kind": "DETRConfig", "interaction": "dcw"}}}
    fresh.resume()
    assert fresh.position == (0, 2)


def test_nothing_is_restored_from_another_run(saved: Trainer, build: Build) -> None:
    other = build()
    other.facts = {}
    before = [parameter.clone() for parameter in other.learner.bare_model.parameters()]
    with pytest.raises(InputError, match="differs"):
        other.resume()
    assert all(map(torch.equal, before, other.learner.bare_model.parameters()))
    assert other.position == (0, 0)


def test_many_differences_are_counted(saved: Trainer, build: Build) -> None:
    other = build()
    other.facts["configuration"] |= {f"setting {i}": "long " * 100 for i in range(20)}
    with pytest.raises(InputError, match=r"and 14 more; ") as caught:
        other.resume()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kept", [0, 7, 1000, -1])
def test_a_truncated_checkpoint_is_refused(saved: Trainer, build: Build, kept: int) -> None:
    saved.checkpoint.write_bytes(saved.checkpoint.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"last\.safetensors is not a safetensors file, or is damaged"):
        build().resume()


def test_weights_are_no_checkpoint(saved: Trainer, build: Build) -> None:
    write_safetensors(saved.checkpoint, saved.learner.bare_model.state_dict(), {"uncrowd.weights": "{}"})
    with pytest.raises(InputError, match=r"is no checkpoint of a run.*--start-from"):
        build().resume()


@pytest.mark.parametrize("header", ["not JSON", "[]", '{"facts": {}}'])
def test_a_damaged_header_is_refused(saved: Trainer, build: Build, header: str) -> None:
    save_file(load_file(saved.checkpoint), saved.checkpoint, {"uncrowd.checkpoint": header})
    with pytest.raises(InputError, match="damaged description"):
        build().resume()


@pytest.mark.parametrize("name", ["model.head", "average.head", "optimizer.exp_avg.head"])
def test_tensors_of_another_model_are_refused(saved: Trainer, build: Build, name: str) -> None:
    tensors = load_file(saved.checkpoint)
    first = next(key for key in tensors if key.startswith(name))
    tensors[f"{first}_of_another_model"] = tensors.pop(first)
    header = json.dumps({"facts": saved.facts, "progress": {"position": [0, 2], "best": None}})
    save_file(tensors, saved.checkpoint, {"uncrowd.checkpoint": header})
    with pytest.raises(InputError, match="of_another_model"):
        build().resume()


@pytest.mark.parametrize(
    "progress",
    [
        {"position": [0, 5], "best": None},
        {"position": [10**9, 0], "best": None},
        {"position": [2, 1], "best": None},
        {"position": [-1, 0], "best": None},
        {"position": [0.5, 0], "best": None},
        {"position": [0], "best": None},
        {"position": [0, 2], "best": math.nan},
        {"position": [0, 2]},
    ],
    ids=["step", "epoch", "after the end", "negative", "a fraction", "one number", "best", "no best"],
)
def test_progress_that_no_run_can_have_is_refused(saved: Trainer, build: Build, progress: dict[str, object]) -> None:
    """The run has 2 epochs of 4 steps."""
    header = json.dumps({"facts": saved.facts, "progress": progress})
    save_file(load_file(saved.checkpoint), saved.checkpoint, {"uncrowd.checkpoint": header})
    with pytest.raises(InputError, match=r"damaged record of its progress, .*: this run has 2 epochs of 4 steps, "):
        build().resume()
