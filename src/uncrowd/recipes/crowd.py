"""The recipe for large crowds on GPUs: R50, queries from the image and two stages.

Lengths, rates and numbers are those that DDQ R-CNN was published with on COCO (arXiv:2303.12776, 36 epochs); the stages
have both modules of the paper, and the number of proposals and the sizes of the images are those of its CrowdHuman
runs. We have not trained it to its end.
"""

from uncrowd.data.transforms import TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes.coco import R50
from uncrowd.recipes.experiment import Experiment


def crowd() -> Experiment:
    """The full method behind dense queries; training sees 250 to 1,000 of them, and inference may ask for any number.

    36 epochs are those of COCO's 118,000 images. `--train.epochs` and `--optim.milestones` fit it to other datasets.
    """
    return Experiment(
        name="crowd",
        model=SparseRCNNConfig(num_classes=1, proposals=500, queries="dense", stages=2, backbone=R50),
        augment=TrainTransformConfig(short_sides=tuple(range(640, 801, 32))),
        optim=OptimConfig(
            learning_rate=1e-4, weight_decay=0.05, clip_norm=10.0, warmup_steps=2000, milestones=(27.0, 33.0)
        ),
    )
