"""A run on datasets of other formats keeps where they are and which of their classes it uses."""

from tests.data.written import make, write_voc, write_yolo
from tests.tiny import tiny_experiment
from uncrowd.data.formats.open import open_dataset
from uncrowd.inference.evaluate import evaluate
from uncrowd.inference.load import load
from uncrowd.runs.folder import classes_of_run
from uncrowd.runs.run import saved_run
from uncrowd.runs.train import resume, train


def test_a_run_on_chosen_classes_of_yolo_and_voc(tmp_path):
    yolo, voc = write_yolo(tmp_path / "yolo", make(0)), write_voc(tmp_path / "voc", make(1))
    classes = {"insect": ("ant", "bee"), "cat": ("cat",)}
    said: list[str] = []
    run = train(
        [yolo, voc], tiny_experiment(epochs=1), out=tmp_path / "run", classes=classes, device="cpu", say=said.append
    )
    assert run.finished
    assert "6 images" in said[0]
    saved = saved_run(run.folder)
    assert saved.data == f"{yolo},{voc}"
    assert saved.classes == classes == classes_of_run(run.folder)
    val = open_dataset(saved.data, classes=classes).val
    assert val is not None
    assert val.categories.names == ("insect", "cat")
    assert evaluate(load(run.folder, "cpu"), val).values["AP"] == run.scores["AP"]
    assert resume(run.folder, device="cpu", say=said.append).finished  # the data and the classes are the same
    assert "is finished" in said[-1]
