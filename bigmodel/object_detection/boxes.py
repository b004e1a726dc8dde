"""Boxes as tensors: formats, and how much two of them share.

"xyxy" is left, top, right, bottom; "cxcywh" is centre, width, height; both as shares of the picture, in 0..1.
"""

import torch


def to_xyxy(boxes):
    """Return boxes (..., 4) cxcywh as xyxy."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def overlap(first, second):
    """Return the intersection over union, and its generalisation, of boxes xyxy that broadcast: (...,) each.

    The generalised one takes off the share of the smallest box around both that neither fills, so that it falls with
    the distance of boxes that do not touch.

    Source: Rezatofighi et al. 2019, arXiv:1902.09630.
    """
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (first, second)]
    union = (areas[0] + areas[1] - common).clamp(min=1e-9)
    low, high = torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:], second[..., 2:])
    around = (high - low).prod(-1).clamp(min=1e-9)
    iou = common / union
    return iou, iou - (around - union) / around
