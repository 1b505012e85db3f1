"""COCO's classes, which published checkpoints know and do not name."""

from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from uncrowd.structures import Categories


def coco_categories() -> Categories:
    """Returns the 80 classes under their ids, 1 to 90."""
    # torchvision lists the ids in order from 0, those that were never used as N/A
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    used = {name: id for id, name in enumerate(names) if name not in ("__background__", "N/A")}
    return Categories(ids=tuple(used.values()), names=tuple(used))
