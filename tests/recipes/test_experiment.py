"""A run whose parts do not fit each other is refused where it is put together, be it in Python or in JSON."""

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
def test_the_objective_takes_the_logits_for_what_they_are(name: str, other: str, sentence: str) -> None:
    """DETR's last logit is no object; for sigmoids the last class would be."""
    experiment, loss = EXPERIMENTS[name](), EXPERIMENTS[other]().loss
    with pytest.raises(InputError, match=sentence):
        replace(experiment, loss=loss)
    values = config.to_dict(experiment) | {"loss": config.to_dict(loss)}
    with pytest.raises(InputError, match=rf"config\.json is no Experiment of this version: .*{sentence}"):
        config.from_dict(Experiment, values, "config.json")
