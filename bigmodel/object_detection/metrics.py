"""Average precision by pycocotools, and errors of counting."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

MOST = 100  # detections of a picture that are scored


def average_precision(found, truths, num_labels, overlaps=None):
    """Return the average precision of COCO's protocol.

    Args:
        found: for each picture (boxes (n, 4) xyxy in pixels, labels (n,), scores (n,)).
        truths: for each picture (boxes (m, 4) xyxy in pixels, labels (m,)).
        num_labels: classes.
        overlaps: rising, the first is 0.5; None takes COCO's, 0.5 to 0.95.

    Returns:
        dict: "map" over all overlaps, "map_50" at 0.5, and (num_labels,) arrays of each class' as "classes" and
        "classes_50"; nan for a class without an object.

    Source: Lin et al. 2014, arXiv:1405.0312.
    """
    size = lambda box: [box[0], box[1], box[2] - box[0], box[3] - box[1]]  # noqa: E731
    annotations = [
        {"image_id": i, "category_id": int(label), "bbox": size(box), "area": np.prod(size(box)[2:]), "iscrowd": 0}
        for i, (boxes, labels) in enumerate(truths)
        for box, label in zip(np.asarray(boxes, float).tolist(), labels, strict=True)
    ]
    results = [
        {"image_id": i, "category_id": int(label), "bbox": size(box), "score": float(score)}
        for i, (boxes, labels, scores) in enumerate(found)
        for box, label, score in zip(np.asarray(boxes, float).tolist(), labels, scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": i} for i in range(num_labels)],
            "annotations": [{**a, "id": i + 1} for i, a in enumerate(annotations)],
        }
        coco.createIndex()
        scored = COCO()
        if results:
            scored = coco.loadRes(results)
        else:
            scored.dataset = {**coco.dataset, "annotations": []}
            scored.createIndex()
        evaluation = COCOeval(coco, scored, "bbox")
        evaluation.params.maxDets = [1, 10, MOST]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        if overlaps:
            evaluation.params.iouThrs = np.array(overlaps)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # overlaps, recalls, labels
    precision = np.where(precision < 0, np.nan, precision)
    classes, classes_50 = precision.mean((0, 1)), precision[0].mean(0)
    mean = lambda values: float(np.nanmean(values)) if np.isfinite(values).any() else 0.0  # noqa: E731
    return {"map": mean(classes), "map_50": mean(classes_50), "classes": classes, "classes_50": classes_50}


def hits(boxes, labels, truth_boxes, truth_labels):
    """Return (n,) bool: whether each detection, best first, meets an object of its label that none before it has met.

    Args:
        boxes, labels: of the detections: (n, 4) xyxy, (n,).
        truth_boxes, truth_labels: of the objects: (m, 4), (m,). To meet is to overlap by half.
    """
    found, free = np.zeros(len(boxes), bool), np.ones(len(truth_boxes), bool)
    areas = (truth_boxes[:, 2:] - truth_boxes[:, :2]).prod(1)
    for i, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        low, high = np.maximum(box[:2], truth_boxes[:, :2]), np.minimum(box[2:], truth_boxes[:, 2:])
        common = np.maximum(high - low, 0).prod(1)
        overlap = np.where(free & (truth_labels == label), common / (np.prod(box[2:] - box[:2]) + areas - common), 0)
        if len(overlap) and overlap.max() >= 0.5:
            found[i], free[overlap.argmax()] = True, False
    return found


def best_threshold(found, truths):
    """Return the score from which on detections are most often right and objects least often missed: the best F1.

    Args:
        found, truths: see average_precision.
    """
    scores = np.concatenate([scores for _, _, scores in found])
    right = np.concatenate([hits(*one[:2], *truth) for one, truth in zip(found, truths, strict=True)])
    order = np.argsort(-scores, kind="stable")
    objects = sum(len(labels) for _, labels in truths)
    if not right.any():
        return 0.5
    f1 = 2 * right[order].cumsum() / (np.arange(1, len(order) + 1) + objects)
    return float(scores[order][f1.argmax()])
