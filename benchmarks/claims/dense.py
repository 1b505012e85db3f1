"""Our detectors with queries from the image, their controls, and choices beside them.

They are written out, as the yardstick is, so that later changes of defaults leave them as they are.
"""

from dataclasses import replace
from typing import Any

from benchmarks.claims.ours import OurDetector, small_data_1, with_zero_deltas

from uncrowd.data.augment.paste import PasteConfig
from uncrowd.losses.classification import FocalConfig
from uncrowd.losses.dense import DenseLossConfig
from uncrowd.models.dense_head import DenseHeadConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes import Experiment

# 2,000 points compete even for 30 queries, the fewest of a step.
_HEAD = DenseHeadConfig(
    finest_stride=8,
    layers=2,
    candidates_per_query=67,
    candidates=2000,
    detach_queries=True,
    detach_boxes=True,
)
_LOSS = DenseLossConfig(
    points=8,
    score_power=1.0,
    iou_power=6.0,
    beta=2.0,
    class_weight=1.0,
    giou_weight=2.0,
    duplicate_above=0.7,
)


def dense_1() -> Experiment:
    """The yardstick with queries from the image: 60 of them and two stages instead of 40 and four.

    Behind the pyramid, an image of 160 x 128 then takes 0.24 G multiply-accumulates with both modules instead of 0.31.
    """
    recipe = _with_model(small_data_1(), "dense-1", queries="dense", dense_head=_HEAD, stages=2, proposals=60)
    return replace(recipe, dense_loss=_LOSS)


def dense_1_zero() -> Experiment:
    """The same, with stages that begin by keeping the boxes of the dense head."""
    return with_zero_deltas(dense_1())


def dense_1_zero_quality() -> Experiment:
    """The same, with quality as the target of the stages' matches: what `small-data` is, at the size of one core."""
    return with_quality(dense_1_zero())


def with_quality(recipe: Experiment) -> Experiment:
    """Returns the recipe with quality as the target of the stages' matches."""
    classes = FocalConfig(alpha=0.25, gamma=2.0, target="quality", score_power=0.25, iou_power=0.75)
    return replace(recipe, name=f"{recipe.name}-quality", loss=replace(recipe.loss, classes=classes))


def learned_zero_quality() -> Experiment:
    """Learned queries with the same kind of stages and target."""
    return with_quality(with_zero_deltas(small_data_1()))


def dense_1_alone() -> Experiment:
    """A control: the dense head without stages behind it."""
    return _with_model(dense_1(), "dense-1-alone", stages=0)


def dense_1_zero_quality_beside() -> Experiment:
    """A control: learned queries, and the dense head and its loss beside them in training only."""
    recipe = _with_model(
        learned_zero_quality(), "dense-1-zero-quality-beside", queries="learned_beside_dense", dense_head=_HEAD
    )
    return replace(recipe, dense_loss=_LOSS)


def dense_1_zero_quality_weight(weight: float) -> Experiment:
    """With another weight of the class loss than 2, that of the paper's focal loss; RF-DETR gives it 1."""
    recipe = dense_1_zero_quality()
    return replace(recipe, name=f"{recipe.name}-weight-{weight:g}", loss=replace(recipe.loss, class_weight=weight))


def dense_1_zero_quality_stages(stages: int) -> Experiment:
    """With one stage or three instead of two."""
    recipe = dense_1_zero_quality()
    return _with_model(recipe, f"{recipe.name}-stages-{stages}", stages=stages)


def dense_1_zero_quality_groups(*, detach_boxes: bool = True) -> Experiment:
    """Queries from the image in four groups."""
    recipe = dense_1_zero_quality()
    name = f"{recipe.name}-groups" if detach_boxes else f"{recipe.name}-groups-through-boxes"
    return _with_model(recipe, name, query_groups=4, dense_head=replace(_HEAD, detach_boxes=detach_boxes))


def dense_1_zero_quality_paste() -> Experiment:
    """Crowding by paste in half of the training images, of objects of other images."""
    return _with_paste("paste", probability=0.5, same_image=0.0, objects=(1, 8))


def dense_1_zero_quality_paste_own() -> Experiment:
    """Crowding by paste in more of the training images, of more objects, and these are the image's own."""
    return _with_paste("paste-own", probability=0.75, same_image=1.0, objects=(8, 48))


def _with_paste(name: str, **settings: Any) -> Experiment:
    recipe = dense_1_zero_quality()
    paste = PasteConfig(overlap=(0.0, 0.8), min_visible=0.25, scale=(0.8, 1.25), flip=0.5, **settings)
    return replace(recipe, name=f"{recipe.name}-{name}", augment=replace(recipe.augment, paste=paste))


def _both(recipe: Experiment) -> OurDetector:
    return OurDetector(attention="iou", interaction="dcw", recipe=recipe)


def _with_model(recipe: Experiment, name: str, **changes: Any) -> Experiment:
    assert isinstance(recipe.model, SparseRCNNConfig)
    return replace(recipe, name=name, model=replace(recipe.model, **changes))


def _with_head(change: str, **changes: Any) -> OurDetector:
    recipe = dense_1_zero_quality()
    return _both(_with_model(recipe, f"{recipe.name}-{change}", dense_head=replace(_HEAD, **changes)))


# Queries from the image behind the stages of the full method, and with the paper's target of one, the same with stages
# that begin at random, and with crowding by paste, of objects of other images or of the image's own.
DENSE = _both(dense_1_zero_quality())
DENSE_TO_ONE = _both(dense_1_zero())
DENSE_AT_RANDOM = _both(dense_1())
DENSE_PASTE = _both(dense_1_zero_quality_paste())
DENSE_PASTE_OWN = _both(dense_1_zero_quality_paste_own())
# The controls: queries from the image behind the baseline's stages, the dense head and its loss beside learned queries
# in training only, the dense head alone, and learned queries alone.
DENSE_ENTANGLED = OurDetector(attention="content", interaction="entangled", recipe=dense_1_zero_quality())
BESIDE = _both(dense_1_zero_quality_beside())
ALONE = _both(dense_1_alone())
LEARNED = _both(learned_zero_quality())
# As many points compete as in the recipe.
DENSE_FEW_COMPETE = _with_head("four-a-query", candidates_per_query=4)
# One change each: one stage or three; half and twice the weight of the class loss; points from stride 4; the stages
# teach the dense head through queries, or through boxes; attention that learns more than IoU; learned queries in four
# groups, queries from the image in four groups, and these with stages that teach through boxes; and four points that
# compete for a query.
CHOICES = [
    _both(dense_1_zero_quality_stages(1)),
    _both(dense_1_zero_quality_stages(3)),
    _both(dense_1_zero_quality_weight(1.0)),
    _both(dense_1_zero_quality_weight(4.0)),
    _with_head("stride-4", finest_stride=4),
    _with_head("through-queries", detach_queries=False),
    _with_head("through-boxes", detach_boxes=False),
    OurDetector(attention="iou_learned", interaction="dcw", recipe=dense_1_zero_quality()),
    _both(_with_model(learned_zero_quality(), "small-data-1-zero-quality-groups", query_groups=4)),
    _both(dense_1_zero_quality_groups()),
    _both(dense_1_zero_quality_groups(detach_boxes=False)),
    DENSE_FEW_COMPETE,
]
