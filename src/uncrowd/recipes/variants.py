"""What the paper varies between runs: the two modules, and the length of training."""

from dataclasses import replace

from uncrowd.models.interaction import InteractionKind
from uncrowd.models.self_attention import AttentionKind
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes.experiment import Experiment


def sparse_rcnn(experiment: Experiment) -> Experiment:
    """The same run with the baseline, as NAME-sparse-rcnn: plain self attention, one feature for both tasks."""
    return with_modules(experiment, "sparse-rcnn", attention="content", interaction="entangled")


def iou_esa(experiment: Experiment) -> Experiment:
    """The baseline with IoU-enhanced self attention alone (Eq. 3), as NAME-iou-esa."""
    return with_modules(experiment, "iou-esa", attention="iou", interaction="entangled")


def dcw(experiment: Experiment) -> Experiment:
    """The baseline with dynamic channel weighting alone (Eq. 4), as NAME-dcw."""
    return with_modules(experiment, "dcw", attention="content", interaction="dcw")


def no_attention(experiment: Experiment) -> Experiment:
    """The baseline without self attention among its queries ("w/o MSA"), as NAME-no-attention."""
    return with_modules(experiment, "no-attention", attention="none", interaction="entangled")


def iou_only(experiment: Experiment) -> Experiment:
    """The baseline with the IoU of boxes in place of the attention matrix ("IoU-MSA"), as NAME-iou-only."""
    return with_modules(experiment, "iou-only", attention="iou_only", interaction="entangled")


def half(experiment: Experiment) -> Experiment:
    """The baseline with half the channels for each task (Fig. 3b), as NAME-half."""
    return with_modules(experiment, "half", attention="content", interaction="half")


def full(experiment: Experiment) -> Experiment:
    """The baseline with half the channels for each task, widened again (Fig. 3c), as NAME-full."""
    return with_modules(experiment, "full", attention="content", interaction="full")


def with_modules(
    experiment: Experiment, suffix: str, *, attention: AttentionKind, interaction: InteractionKind
) -> Experiment:
    """The same run with other modules in the stages of its Sparse R-CNN, as NAME-SUFFIX."""
    model = experiment.model
    assert isinstance(model, SparseRCNNConfig)
    stage = replace(model.stage, attention=attention, interaction=interaction)
    return replace(experiment, name=f"{experiment.name}-{suffix}", model=replace(model, stage=stage))


def shorter(experiment: Experiment, epochs: int, milestones: tuple[float, ...]) -> Experiment:
    """The same run with fewer epochs, as NAME-EPOCHS-epochs."""
    return replace(
        experiment,
        name=f"{experiment.name}-{epochs}-epochs",
        optim=replace(experiment.optim, milestones=milestones),
        train=replace(experiment.train, epochs=epochs),
    )
