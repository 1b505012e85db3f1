"""An experiment whose parts do not fit each other is refused when it is built, in Python or from JSON."""

from dataclasses import replace

import pytest

from uncrowd import config
from uncrowd.errors import InputError
from uncrowd.recipes import EXPERIMENTS, Experiment


@pytest.mark.parametrize(
    ("name", "other", "sentence"),
    [
        ("coco-detr-r50", "coco-r50-100", "of a DETRConfig with a FocalConfig; give its loss a CrossEntropyConfig"),
        ("coco-r50-100", "coco-detr-r50", "of a SparseRCNNConfig with a CrossEntropyConfig; give its loss a Focal"),
    ],
)
def test_the_loss_has_to_fit_the_logits(name: str, other: str, sentence: str) -> None:
    """DETR's last logit stands for no object; a sigmoid loss would read it as a class."""
    experiment, loss = EXPERIMENTS[name](), EXPERIMENTS[other]().loss
    with pytest.raises(InputError, match=sentence):
        replace(experiment, loss=loss)
    values = config.to_dict(experiment) | {"loss": config.to_dict(loss)}
    with pytest.raises(InputError, match=rf"config\.json is not a valid Experiment of this version: .*{sentence}"):
        config.from_dict(Experiment, values, "config.json")
