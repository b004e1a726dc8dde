"""Which prediction answers for which object: the assignment of least cost, and the loss that follows from it."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from bigmodel.object_detection.boxes import overlap, to_xyxy

CLASS_COST, BOX_COST, OVERLAP_COST = 2.0, 5.0, 2.0
NOTHING_WEIGHT, FOCUS = 0.75, 2.0  # of predictions that answer for nothing


def costs(logits, boxes, labels, truths):
    """Return what each prediction would cost each object: (predictions, objects).

    Args:
        logits: (predictions, labels).
        boxes: (predictions, 4) cxcywh.
        labels: (objects,) int64.
        truths: (objects, 4) cxcywh.

    Source: Carion et al. 2020, arXiv:2005.12872; Zhu et al. 2020, arXiv:2010.04159 (focal class cost).
    """
    p = logits.sigmoid()[:, labels]
    positive = 0.25 * (1 - p) ** 2 * -torch.log(p + 1e-8)
    negative = 0.75 * p**2 * -torch.log(1 - p + 1e-8)
    distance = torch.cdist(boxes, truths, p=1)
    _, generalised = overlap(to_xyxy(boxes)[:, None], to_xyxy(truths)[None])
    return CLASS_COST * (positive - negative) + BOX_COST * distance - OVERLAP_COST * generalised


@torch.no_grad()
def match(logits, boxes, labels, truths, repeats=1):
    """Return the assignment of least total cost: each object gets ``repeats`` predictions, a prediction one object.

    Args:
        logits, boxes, labels, truths: of one picture; see costs.
        repeats: predictions for each object; fewer where there are not enough.

    Returns:
        predictions, objects: (pairs,) int64 indices.

    Source: Kuhn 1955 (assignment); Jia et al. 2022, arXiv:2207.13080 (repeats, in training only).
    """
    repeats = max(1, min(repeats, len(logits) // max(1, len(labels))))
    cost = costs(logits.float(), boxes.float(), labels, truths).cpu().numpy()
    rows, columns = linear_sum_assignment(np.nan_to_num(np.tile(cost, (1, repeats)), nan=1e6, posinf=1e6, neginf=-1e6))
    return torch.as_tensor(rows), torch.as_tensor(columns % max(1, len(labels)))


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
    rows, predictions, targets, kinds = [], [], [], []
    for i in range(len(logits)):
        there = labels[i] >= 0
        if there.any():
            found, objects = match(logits[i], boxes[i], labels[i][there], truths[i][there], repeats)
            rows.append(torch.full_like(found, i))
            predictions.append(found)
            targets.append(truths[i][there][objects])
            kinds.append(labels[i][there][objects])
    scores = torch.zeros_like(logits, dtype=torch.float32)
    count, box_loss = 1, logits.new_zeros(())
    if rows:
        rows, predictions = torch.cat(rows), torch.cat(predictions)
        targets, kinds = torch.cat(targets), torch.cat(kinds)
        count, chosen = len(rows), boxes[rows, predictions].float()
        iou, generalised = overlap(to_xyxy(chosen), to_xyxy(targets))
        box_loss = BOX_COST * (chosen - targets).abs().sum() + OVERLAP_COST * (1 - generalised).sum()
        scores[rows, predictions, kinds] = iou.detach()
    logits = logits.float()
    weight = torch.where(scores > 0, scores, NOTHING_WEIGHT * logits.detach().sigmoid() ** FOCUS)
    class_loss = F.binary_cross_entropy_with_logits(logits, scores, weight, reduction="sum")
    return (class_loss + box_loss) / count
