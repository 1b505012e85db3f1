"""Trains YOLO26 or detects with it: `python yolo_script.py train|detect SETTINGS.json`, in its own environment.

`yolo.py` writes the settings and says what they mean. Nothing else imports this file or the library.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from ultralytics import YOLO  # pyright: ignore[reportMissingImports]


def train(settings: dict, folder: Path) -> None:
    """Trains to the end, from the last whole epoch if there is one, and keeps the averaged weights of each part."""
    last = folder / "run" / "weights" / "last.pt"
    if (folder / f"{settings['epochs']}.pt").is_file():
        return
    began = time.perf_counter()

    def on_epoch_start(trainer) -> None:
        nonlocal began
        began = time.perf_counter()

    def on_epoch_end(trainer) -> None:
        with (folder / "seconds.txt").open("a") as stream:
            stream.write(f"{trainer.epoch} {time.perf_counter() - began}\n")

    def on_saved(trainer) -> None:
        if (trainer.epoch + 1) % settings["evaluate_every"] == 0:
            shutil.copy(trainer.last, folder / f"{trainer.epoch + 1}.pt")

    model = YOLO(str(last) if last.is_file() else settings["model"])
    model.add_callback("on_train_epoch_start", on_epoch_start)
    model.add_callback("on_train_epoch_end", on_epoch_end)
    model.add_callback("on_model_save", on_saved)
    if last.is_file():
        model.train(resume=True)
        return
    model.train(
        data=settings["data"],
        epochs=settings["epochs"],
        batch=settings["batch"],
        nbs=settings["batch"],  # a step after each batch, as all detectors take
        imgsz=settings["side"],
        optimizer="AdamW",  # what the library chooses for runs of this length, with these two settings
        momentum=0.9,
        warmup_bias_lr=0.0,
        lr0=settings["learning_rate"],
        pretrained=False,
        seed=settings["seed"],
        device=settings["device"],
        project=str(folder),
        name="run",
        exist_ok=True,
        patience=settings["epochs"],
        workers=0,
        cache="ram",
        amp=False,
        val=False,
        plots=False,
    )


def detect(settings: dict, folder: Path) -> None:
    """Writes what is found in each image as COCO results; boxes without area, of early weights, are left out."""
    model = YOLO(settings["weights"])
    records = []
    for image in settings["images"]:
        (result,) = model.predict(
            image["file"],
            imgsz=settings["side"],
            conf=0.001,
            max_det=settings["most"],
            device=settings["device"],
            verbose=False,
            **({"nms": False} if settings["iou"] is None else {"iou": settings["iou"]}),
        )
        rows = zip(result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), result.boxes.cls.int().tolist(), strict=True)
        records += [
            {
                "image_id": image["id"],
                "category_id": settings["category_ids"][label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
            for (x1, y1, x2, y2), score, label in rows
            if x1 < x2 and y1 < y2
        ]
    out = Path(settings["out"])
    beside = out.with_suffix(".part")
    beside.write_text(json.dumps(records), encoding="utf-8")
    beside.rename(out)


if __name__ == "__main__":
    verb, file = sys.argv[1], Path(sys.argv[2]).absolute()  # the library has a place of its own for relative paths
    {"train": train, "detect": detect}[verb](json.loads(file.read_text(encoding="utf-8")), file.parent)
