"""COCO's classes. Published checkpoints are trained on them but do not hold their names."""

from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from uncrowd.structures import Categories


def coco_categories() -> Categories:
    """Returns the 80 classes and their ids, which lie between 1 and 90."""
    # torchvision lists the names in the order of the ids, from 0; unused ids have the name N/A
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    used = {name: id for id, name in enumerate(names) if name not in ("__background__", "N/A")}
    return Categories(ids=tuple(used.values()), names=tuple(used))
