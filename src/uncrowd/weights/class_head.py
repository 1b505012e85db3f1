"""Gives a trained detector other classes. This happens only on request, and the change is reported."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Categories
from uncrowd.words import counted, first

_NAMES_SHOWN = 8


@torch.no_grad()
def with_classes(model: SparseRCNN, from_categories: Categories, to_categories: Categories) -> tuple[SparseRCNN, str]:
    """Returns a copy of the model for other classes, and one sentence that says what happened to each class.

    A new class with the name of an old one takes over its row of each layer that predicts classes. Other new classes
    start at the prior probability, as in a model that has not been trained. All other weights are copied.
    """
    assert len(from_categories) == model.config.num_classes
    changed = SparseRCNN(replace(model.config, num_classes=len(to_categories)))
    changed = changed.to(next(model.parameters())).train(model.training)
    rows = {name: row for row, name in enumerate(from_categories.names)}
    carried = [label for label, name in enumerate(to_categories.names) if name in rows]
    source = [rows[to_categories.names[label]] for label in carried]

    tensors = {name: tensor for name, tensor in model.state_dict().items() if ".class_logits." not in name}
    missing, unexpected = changed.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(".class_logits." in name for name in missing), missing
    for name, after in changed.named_modules():
        if name.endswith(".class_logits"):
            before = model.get_submodule(name)
            assert isinstance(before, nn.Linear)
            assert isinstance(after, nn.Linear)
            after.weight[carried] = before.weight[source]
            after.bias[carried] = before.bias[source]
    return changed, _words(from_categories.names, to_categories.names)


def _words(old: Sequence[str], new: Sequence[str]) -> str:
    kept = [name for name in new if name in old]
    begun = [name for name in new if name not in old]
    dropped = [name for name in old if name not in new]
    parts = [
        f"{len(names)} {what} ({first(names, _NAMES_SHOWN)})"
        for names, what in ((kept, "kept by name"), (begun, "initialised"), (dropped, "dropped"))
        if names
    ]
    return f"new class head of {counted(len(new), 'class')}: {', '.join(parts)}"
