"""Detectors of torchvision and transformers with random weights. They take images as bytes and return detections.

torchvision's detectors include their resizing and suppression. transformers' detectors are only the networks, which get
standardised and padded images; the rest of their processors takes little time. Without its compiled kernel, Deformable
DETR samples with PyTorch operations, and RT-DETR is made for 640 x 640, so both may appear slower here than they are.
"""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models import detection

from uncrowd.models.backbone import IMAGENET_MEAN, IMAGENET_STD

Detect = Callable[[Tensor], object]  # takes images (b, 3, h, w), uint8, on the host

FASTER_RCNN = "Faster R-CNN R50-FPN (torchvision)"
CHANNELS_LAST = "Faster R-CNN, channels last"  # the same with one more line of code, which ours has too


def torchvision_detectors(height: int, width: int, device: torch.device) -> dict[str, Detect]:
    """Returns torchvision's detectors. Each resizes images itself, here to the size that they already have."""
    sides = {"min_size": min(height, width), "max_size": max(height, width)}
    models: dict[str, nn.Module] = {
        FASTER_RCNN: detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **sides),
        "RetinaNet R50-FPN (torchvision)": detection.retinanet_resnet50_fpn(
            weights=None, weights_backbone=None, **sides
        ),
        "FCOS R50-FPN (torchvision)": detection.fcos_resnet50_fpn(weights=None, weights_backbone=None, **sides),
    }
    models[CHANNELS_LAST] = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **sides)
    models[CHANNELS_LAST].to(memory_format=torch.channels_last).get_submodule("backbone").register_forward_pre_hook(
        lambda _, given: (given[0].contiguous(memory_format=torch.channels_last),)
    )
    return {name: _of_torchvision(model.eval().to(device), device) for name, model in models.items()}


def _of_torchvision(model: nn.Module, device: torch.device) -> Detect:
    def detect(images: Tensor) -> object:
        return model([image / 255 for image in images.to(device, non_blocking=True)])

    return detect


def transformers_detectors(device: torch.device) -> dict[str, Detect]:
    """Returns DETR, Deformable DETR and RT-DETR with ResNet-50, or nothing if transformers is not installed."""
    if find_spec("transformers") is None:
        return {}
    import transformers as hf

    settings = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "backbone_kwargs": {}}
    last = hf.ResNetConfig(out_features=["stage4"])  # pyright: ignore[reportCallIssue]
    last_three = hf.ResNetConfig(out_features=["stage2", "stage3", "stage4"])  # pyright: ignore[reportCallIssue]
    models: dict[str, nn.Module] = {
        "DETR R50 (transformers)": hf.DetrForObjectDetection(hf.DetrConfig(backbone_config=last, **settings)),
        "Deformable DETR R50 (transformers)": hf.DeformableDetrForObjectDetection(
            hf.DeformableDetrConfig(backbone_config=last_three, **settings)
        ),
        "RT-DETR R50 (transformers)": hf.RTDetrForObjectDetection(hf.RTDetrConfig()),
    }
    return {name: _of_transformers(model.eval().to(device), device) for name, model in models.items()}


def _of_transformers(model: nn.Module, device: torch.device) -> Detect:
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))

    def detect(images: Tensor) -> object:
        height, width = images.shape[-2:]
        standardised = (images.to(device, non_blocking=True) - mean) / std
        # the feature maps of RT-DETR fit together only if 32 divides both sides
        return model(pixel_values=F.pad(standardised, (0, -width % 32, 0, -height % 32)))

    return detect
