"""torchvision's Faster R-CNN and FCOS on the yardstick's backbone and pyramid, for our engine and its images.

Losses, choice of positive examples and decoding are the library's. Its resizing is left out, because our loaders
resize, and so is its last NMS, which is chosen later. Sizes are fitted to the images: see the constants.
"""

from collections import OrderedDict
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from uncrowd.boxes import clip, rescale
from uncrowd.data.dataset import DetectionDataset
from uncrowd.losses.criterion import Losses
from uncrowd.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from uncrowd.models.build import build_detector
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.structures import Batch, Categories, Detections, Target

Kind = Literal["faster-rcnn", "fcos"]

STRIDES = (4, 8, 16, 32)
# Sides of Faster R-CNN's anchors, in strides. With ratios from the data, 99 % of the drawn people overlap an anchor by
# an IoU above .7, the library's limit for positive examples. With its own side of 8 strides and ratios of .5, 1 and 2
# it is 46 %.
ANCHOR_SIDES = (6.0, 6 * 2**0.5)
# Regions sampled for the loss and the width of the layers that see them. The library's 512 and 1024 are for images of
# 800 pixels, and would take most of a step here.
REGIONS, WIDTH = 128, 512
# Regions that Faster R-CNN classifies in an image: at least, and for each object of the fullest images. With the least,
# it would lose 5 points of CrowdHuman AP where there are more than 100 nuclei.
LEAST_REGIONS, REGIONS_PER_OBJECT = 500, 10
# Candidates with a lower score are left out. The library's .05 and .2 would cost recall, and so AP.
LEAST_SCORE = 0.01
# Larger than any number of candidates, and than any IoU: no candidate is left out.
ALL, NO_NMS = 1_000_000, 2.0


class TorchvisionModel(nn.Module):
    """One of the two detectors, in the form in which our engine trains a model.

    yardstick: the model whose backbone and pyramid it has, with the same random weights. ratios: of height to width.
    most: about as many objects as full images have, which says how many regions Faster R-CNN classifies.
    """

    multiple = 32

    def __init__(
        self,
        kind: Kind,
        yardstick: SparseRCNNConfig,
        classes: int,
        ratios: tuple[float, ...],
        device: torch.device,
        *,
        most: int,
    ):
        super().__init__()
        features = _Features(yardstick, device)
        match kind:
            case "faster-rcnn":
                self.detector = _faster_rcnn(features, classes, ratios, most)
                self.first_label = 1  # 0 is the background
            case "fcos":
                self.detector = _fcos(features, classes)
                self.first_label = 0
        self.detector.transform = _Standardised()
        self.to(device)

    def forward(self, images: Shaped[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> list[Float[Tensor, "3 _ _"]]:
        """Returns the images without their padding.

        The engine gives the targets only to the loss, and torchvision's detectors take both at once; so `losses` runs
        the detector.
        """
        return [
            image[:, :height, :width].float() for image, (height, width) in zip(images, sizes.tolist(), strict=True)
        ]

    def losses(
        self, images: list[Float[Tensor, "3 _ _"]], targets: list[Target], num_boxes: Any, num_images: int
    ) -> Losses:
        """Returns the library's losses: those of boxes as `l1`, all others as `class_`.

        num_boxes, num_images: not used, because the library divides by numbers of its own.
        """
        wanted = [{"boxes": target.boxes, "labels": target.labels + self.first_label} for target in targets]
        terms: dict[str, Tensor] = self.detector(images, wanted)
        of_boxes = torch.stack([term for name, term in terms.items() if "box" in name]).sum()
        others = torch.stack([term for name, term in terms.items() if "box" not in name]).sum()
        none = torch.zeros(1, device=others.device)
        return Losses(of_boxes + others, others.detach()[None], of_boxes.detach()[None], none)

    @torch.inference_mode()
    def candidates(self, batch: Batch, categories: Categories, device: torch.device) -> list[Detections]:
        """Returns what is found in each image before NMS, best first, in image pixels. It ends training mode."""
        found = self.eval().detector(self(batch.images.to(device), batch.sizes))
        return [
            _detections(each, self.first_label, (height, width), size, categories)
            for each, (height, width), size in zip(found, batch.sizes.tolist(), batch.image_sizes, strict=True)
        ]


def anchor_ratios(dataset: DetectionDataset) -> tuple[float, ...]:
    """Returns three ratios of height to width that are spread evenly over the boxes of a dataset."""
    sides = (dataset.boxes[:, 2:] - dataset.boxes[:, :2])[~dataset.ignore]
    ratios = sides[:, 1] / np.maximum(sides[:, 0], 1)
    return tuple(np.quantile(ratios, [1 / 6, 1 / 2, 5 / 6]).tolist())


class _Features(nn.Module):
    """The yardstick's backbone and pyramid, as torchvision's detectors expect them."""

    def __init__(self, yardstick: SparseRCNNConfig, device: torch.device):
        super().__init__()
        model = build_detector(yardstick, device)
        assert isinstance(model, SparseRCNN)
        self.backbone, self.pyramid, self.out_channels = model.backbone, model.pyramid, yardstick.stage.width

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> OrderedDict[str, Tensor]:
        """Returns the maps of strides 4 to 32 by number."""
        return OrderedDict((str(level), map_) for level, map_ in enumerate(self.pyramid(self.backbone(images))))


class _Standardised(GeneralizedRCNNTransform):
    """torchvision's batches of standardised images, without its resizing."""

    def __init__(self) -> None:
        super().__init__(1, 1, list(IMAGENET_MEAN), list(IMAGENET_STD), size_divisible=TorchvisionModel.multiple)

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Returns them as they are: they have the size that our loaders gave them."""
        return image, target


def _faster_rcnn(features: _Features, classes: int, ratios: tuple[float, ...], most: int) -> FasterRCNN:
    regions = max(LEAST_REGIONS, REGIONS_PER_OBJECT * most)
    levels = [str(level) for level in range(len(STRIDES))]
    sizes = tuple(tuple(round(side * stride) for side in ANCHOR_SIDES) for stride in STRIDES)
    pool = MultiScaleRoIAlign(featmap_names=levels, output_size=7, sampling_ratio=2)
    return FasterRCNN(
        features,
        rpn_anchor_generator=AnchorGenerator(sizes, (ratios,) * len(STRIDES)),
        rpn_pre_nms_top_n_test=max(1000, regions),
        rpn_post_nms_top_n_train=LEAST_REGIONS,
        rpn_post_nms_top_n_test=regions,
        box_roi_pool=pool,
        box_head=TwoMLPHead(features.out_channels * 7**2, WIDTH),
        box_predictor=FastRCNNPredictor(WIDTH, 1 + classes),
        box_batch_size_per_image=REGIONS,
        box_score_thresh=LEAST_SCORE,
        box_nms_thresh=NO_NMS,
        box_detections_per_img=ALL,
    )


def _fcos(features: _Features, classes: int) -> FCOS:
    return FCOS(
        features,
        num_classes=classes,
        anchor_generator=AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES)),
        score_thresh=LEAST_SCORE,
        nms_thresh=NO_NMS,
        detections_per_img=ALL,
    )


def _detections(
    found: dict[str, Tensor], first_label: int, resized: tuple[int, int], size: tuple[int, int], categories: Categories
) -> Detections:
    """Returns what was found in an image of (height, width) `size`, of which the network saw `resized`."""
    boxes = clip(rescale(found["boxes"].cpu(), resized, size), *size)
    scores = found["scores"].cpu()
    order = scores.argsort(descending=True, stable=True)
    return Detections(
        boxes=boxes[order],
        scores=scores[order],
        labels=found["labels"].cpu()[order] - first_label,
        categories=categories,
    )
