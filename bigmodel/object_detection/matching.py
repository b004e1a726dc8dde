"""Which prediction answers for which object: the assignment of least cost, and the loss that follows from it."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from bigmodel.object_detection.boxes import overlap, to_xyxy

CLASS_COST, BOX_COST, OVERLAP_COST = 2.0, 5.0, 2.0
NOTHING_WEIGHT, FOCUS = 0.75, 2.0  # of predictions that answer for nothing


def costs(logits, boxes, labels, truths):
    """Return what each prediction would cost each object of its picture: (batch, predictions, objects).

    Args:
        logits: (batch, predictions, labels).
        boxes: (batch, predictions, 4) cxcywh.
        labels: (batch, objects) int64; infinite costs where it is -1.
        truths: (batch, objects, 4) cxcywh.

    Source: Carion et al. 2020, arXiv:2005.12872; Zhu et al. 2020, arXiv:2010.04159 (focal class cost).
    """
    there = labels[:, None] >= 0
    p = logits.sigmoid().gather(2, labels.clamp(min=0)[:, None].expand(-1, logits.shape[1], -1))
    positive = 0.25 * (1 - p) ** 2 * -torch.log(p + 1e-8)
    negative = 0.75 * p**2 * -torch.log(1 - p + 1e-8)
    distance = torch.cdist(boxes, truths, p=1)
    _, generalised = overlap(to_xyxy(boxes)[:, :, None], to_xyxy(truths)[:, None])
    cost = CLASS_COST * (positive - negative) + BOX_COST * distance - OVERLAP_COST * generalised
    return cost.where(there, torch.inf)


@torch.no_grad()
def match(logits, boxes, labels, truths, repeats=1):
    """Return the assignment of least total cost: each object gets ``repeats`` predictions, a prediction one object.

    Args:
        logits, boxes, labels, truths: of a batch of pictures; see costs. They leave a GPU once, for all pictures.
        repeats: predictions for each object; fewer where there are not enough.

    Returns:
        pictures, predictions, objects: (pairs,) int64 indices, on the device of ``logits``.

    Source: Kuhn 1955 (assignment); Jia et al. 2022, arXiv:2207.13080 (repeats, in training only).
    """
    pairs = []
    for i, cost in enumerate(costs(logits.float(), boxes.float(), labels, truths).cpu().numpy()):
        cost = cost[:, ~np.isposinf(cost).all(0)]  # padding stands at the end
        count = cost.shape[1]
        times = max(1, min(repeats, len(cost) // max(1, count)))
        known = np.nan_to_num(np.tile(cost, (1, times)), nan=1e6, posinf=1e6, neginf=-1e6)
        rows, columns = linear_sum_assignment(known)
        pairs.append(np.stack([np.full_like(rows, i), rows, columns % max(1, count)]))
    return torch.from_numpy(np.concatenate(pairs, 1)).to(logits.device)


def set_loss(logits, boxes, labels, truths, repeats=1):
    """Return the loss of a batch of sets of predictions: classes, boxes' distance and overlap, an object.

    A matched prediction shall give its overlap with the object as the score of the label, every other score 0: the
    score then says how well the box fits, and no second prediction of an object is rewarded.

    Args:
        logits: (batch, predictions, labels).
        boxes: (batch, predictions, 4) cxcywh.
        labels: (batch, objects) int64, -1 at padding.
        truths: (batch, objects, 4) cxcywh.
        repeats: see match.

    Source: Zhang et al. 2020, arXiv:2008.13367 (varifocal loss).
    """
    pictures, predictions, objects = match(logits, boxes, labels, truths, repeats)
    targets, kinds = truths[pictures, objects], labels[pictures, objects]
    chosen = boxes[pictures, predictions].float()
    iou, generalised = overlap(to_xyxy(chosen), to_xyxy(targets))
    box_loss = BOX_COST * (chosen - targets).abs().sum() + OVERLAP_COST * (1 - generalised).sum()
    scores = torch.zeros_like(logits, dtype=torch.float32)
    scores[pictures, predictions, kinds] = iou.detach()
    logits = logits.float()
    weight = torch.where(scores > 0, scores, NOTHING_WEIGHT * logits.detach().sigmoid() ** FOCUS)
    class_loss = F.binary_cross_entropy_with_logits(logits, scores, weight, reduction="sum")
    return (class_loss + box_loss) / max(1, len(pictures))
