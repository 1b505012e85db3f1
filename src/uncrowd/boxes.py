"""Box geometry: pure functions of tensors.

`boxes` are always absolute xyxy pixels, (..., 4), at least fp32; any other form says so in its name. Area, IoU and
GIoU are finite, with finite gradients, for zero-area, inverted, far-away, infinite and NaN boxes.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Coordinates are clamped to this; the product of two such sides still fits in fp32.
FAR = 1e9
# A shorter side counts as this many pixels where boxes are compared by the ratio of their sides.
SHORTEST_SIDE = 1.0
# Logarithm of the largest growth of a side in one refinement, as in Sparse R-CNN; Faster R-CNN has 1,000 / 16.
MAX_LOG_SCALE = math.log(100_000 / 16)
# (dx, dy) are divided by this before they move a box; (dw, dh) are used as they are (Sparse R-CNN's 2, 2, 1, 1).
MOVE_WEIGHT = 2.0


def at_least_fp32(x: Tensor) -> Tensor:
    """Converts half precision to fp32; returns any other type unchanged, so float64 stays float64."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def cxcywh_to_xyxy(boxes_cxcywh: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Converts centre and size to corners, in the unit of the input."""
    centre, size = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def xyxy_to_cxcywh(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Converts corners to centre and size, in the unit of the input."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], dim=-1)


def xywh_to_xyxy(boxes_xywh: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Converts top left corner and size (COCO's form) to corners."""
    return torch.cat([boxes_xywh[..., :2], boxes_xywh[..., :2] + boxes_xywh[..., 2:]], dim=-1)


def xyxy_to_xywh(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Converts corners to top left corner and size (COCO's form)."""
    return torch.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], dim=-1)


def area(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n"]:
    """Returns width times height in square pixels; 0 for an inverted box, finite for an infinite one."""
    return _area(_bounded(boxes))


def iou(boxes1: Float[Tensor, "*#n 4"], boxes2: Float[Tensor, "*#n 4"]) -> Float[Tensor, "*#n"]:
    """Returns intersection over union of boxes that broadcast against each other; 0 where the union is empty."""
    return _iou_and_union(_bounded(boxes1), _bounded(boxes2))[0]


def pairwise_iou(boxes1: Float[Tensor, "*#b n 4"], boxes2: Float[Tensor, "*#b m 4"]) -> Float[Tensor, "*#b n m"]:
    """Returns the IoU of every box of one set with every box of the other."""
    return iou(boxes1[..., :, None, :], boxes2[..., None, :, :])


def own_share(boxes: Float[Tensor, "*#n 4"], regions: Float[Tensor, "*#n 4"]) -> Float[Tensor, "*#n"]:
    """Returns the share of each box's own area that lies in its region; 0 for a box without area. They broadcast."""
    boxes, regions = _bounded(boxes), _bounded(regions)
    own = _area(boxes)
    return _intersection(boxes, regions) / own.where(own > 0, 1)


def pairwise_own_share(boxes: Float[Tensor, "*#b n 4"], regions: Float[Tensor, "*#b m 4"]) -> Float[Tensor, "*#b n m"]:
    """Returns the share of each box's own area that lies in each region; 0 for a box without area."""
    return own_share(boxes[..., :, None, :], regions[..., None, :, :])


def giou(boxes1: Float[Tensor, "*#n 4"], boxes2: Float[Tensor, "*#n 4"]) -> Float[Tensor, "*#n"]:
    """Returns generalized IoU (arXiv:1902.09630) of boxes that broadcast against each other, in [-1, 1]."""
    boxes1, boxes2 = _bounded(boxes1), _bounded(boxes2)
    overlap, union = _iou_and_union(boxes1, boxes2)
    (left1, top1, right1, bottom1), (left2, top2, right2, bottom2) = _sides(boxes1), _sides(boxes2)
    width = torch.max(right1, right2) - torch.min(left1, left2)
    height = torch.max(bottom1, bottom2) - torch.min(top1, top2)
    hull_area = width.clamp(min=0) * height.clamp(min=0)
    return overlap - (hull_area - union) / hull_area.where(hull_area > 0, 1)


def pairwise_giou(boxes1: Float[Tensor, "*#b n 4"], boxes2: Float[Tensor, "*#b m 4"]) -> Float[Tensor, "*#b n m"]:
    """Returns generalized IoU of every box of one set with every box of the other."""
    return giou(boxes1[..., :, None, :], boxes2[..., None, :, :])


def pairwise_log_offsets(boxes: Float[Tensor, "*b n 4"]) -> Float[Tensor, "*b n n 4"]:
    """Returns how box j (last but one) lies to box i, in units that do not change with the scale of the image.

    The four numbers are log(|dx| / w_i + 1) and log(|dy| / h_i + 1) of the centres, log(w_i / w_j) and log(h_i / h_j),
    as in Relation-DETR (arXiv:2407.11699, Eq. 2).
    """
    boxes_cxcywh = xyxy_to_cxcywh(_bounded(boxes))
    centre, size = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:].clamp(min=SHORTEST_SIDE)
    distance = (centre[..., :, None, :] - centre[..., None, :, :]).abs()
    log_size = size.log()
    ratio = log_size[..., :, None, :] - log_size[..., None, :, :]
    return torch.cat([(distance / size[..., :, None, :]).log1p(), ratio], dim=-1)


def apply_deltas(deltas: Float[Tensor, "*n 4"], boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Refines boxes by predicted (dx, dy, dw, dh): Faster R-CNN's coding with Sparse R-CNN's weights (2, 2, 1, 1).

    dw and dh are clamped above only, at log(100000 / 16); the result is not clipped to the image.
    """
    deltas, boxes = at_least_fp32(deltas), at_least_fp32(boxes)
    size = boxes[..., 2:] - boxes[..., :2]
    centre = boxes[..., :2] + size / 2
    # A tensor of the four weights would be copied to the device, and the host would wait for the copy.
    move, log_scale = deltas[..., :2] / MOVE_WEIGHT, deltas[..., 2:]
    centre = centre + move * size
    size = size * log_scale.clamp(max=MAX_LOG_SCALE).exp()
    return cxcywh_to_xyxy(torch.cat([centre, size], dim=-1))


def clip(boxes: Float[Tensor, "*n 4"], height: int | float, width: int | float) -> Float[Tensor, "*n 4"]:
    """Clips boxes to an image: 0 <= x <= width, 0 <= y <= height."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], dim=-1)


def rescale(boxes: Float[Tensor, "*n 4"], size: tuple[int, int], new_size: tuple[int, int]) -> Float[Tensor, "*n 4"]:
    """Scales boxes of an image of (height, width) `size` to the same image resized to `new_size`."""
    x_scale, y_scale = new_size[1] / size[1], new_size[0] / size[0]
    return boxes * boxes.new_tensor([x_scale, y_scale, x_scale, y_scale])


def flip_horizontally(boxes: Float[Tensor, "*n 4"], width: int) -> Float[Tensor, "*n 4"]:
    """Flips boxes left to right together with their image of `width` pixels."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def _bounded(boxes: Tensor) -> Tensor:
    return at_least_fp32(boxes).nan_to_num(nan=0.0).clamp(-FAR, FAR)


def _area(boxes: Tensor) -> Tensor:
    width, height = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).unbind(-1)
    return width * height


def _sides(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns left, top, right and bottom as four tensors without gaps.

    If all pairs of boxes are compared one coordinate at a time, torch takes a third of the time that it takes where x
    and y are the last dimension, and ONNX Runtime far less.
    """
    left, top, right, bottom = (side.contiguous() for side in boxes.unbind(-1))
    return left, top, right, bottom


def _intersection(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    (left1, top1, right1, bottom1), (left2, top2, right2, bottom2) = _sides(boxes1), _sides(boxes2)
    width = torch.min(right1, right2) - torch.max(left1, left2)
    height = torch.min(bottom1, bottom2) - torch.max(top1, top2)
    return width.clamp(min=0) * height.clamp(min=0)


def _iou_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    intersection = _intersection(boxes1, boxes2)
    union = _area(boxes1) + _area(boxes2) - intersection
    return intersection / union.where(union > 0, 1), union
