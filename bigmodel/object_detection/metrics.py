"""Average precision, by pycocotools where figures are published, and the same by numpy where a training chooses."""

import contextlib
import io

import numpy as np

MOST = 100  # detections of a picture that are scored
OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


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
    from pycocotools.coco import COCO  # trainings do without it
    from pycocotools.cocoeval import COCOeval

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


def mean_precision(found, truths, num_labels):
    """Return "map" and "map_50" as average_precision does, in a few passes of numpy.

    Args:
        found, truths, num_labels: see average_precision; detections best first, at most MOST a picture.
    """
    right = np.concatenate([_hits(*one[:2], *truth, OVERLAPS) for one, truth in zip(found, truths, strict=True)], 1)
    labels, scores = (np.concatenate([one[i] for one in found]) for i in (1, 2))
    objects = np.bincount(np.concatenate([labels for _, labels in truths]).astype(int), minlength=num_labels)
    order, values = np.argsort(-scores, kind="stable"), []
    for label in np.flatnonzero(objects):
        hit = right[:, order[labels[order] == label]].cumsum(1)
        precision = hit / np.arange(1, hit.shape[1] + 1)
        best_after = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        best_after = np.pad(best_after, ((0, 0), (0, 1)))  # a recall that is never reached has none
        reached = [np.searchsorted(row / objects[label], RECALLS) for row in hit]
        values.append([row[at].mean() for row, at in zip(best_after, reached, strict=True)])
    means = np.mean(values, 0) if values else np.zeros(len(OVERLAPS))
    return {"map": float(means.mean()), "map_50": float(means[0])}


def hits(boxes, labels, truth_boxes, truth_labels):
    """Return (n,) bool: whether each detection, best first, meets an object of its label that none before it has met.

    Args:
        boxes, labels: of the detections: (n, 4) xyxy, (n,).
        truth_boxes, truth_labels: of the objects: (m, 4), (m,). To meet is to overlap by half.
    """
    return _hits(boxes, labels, truth_boxes, truth_labels, np.array([0.5]))[0]


def _hits(boxes, labels, truth_boxes, truth_labels, overlaps):
    """Return (overlaps, n) bool: see hits, of which this is the same for several overlaps."""
    found = np.zeros((len(overlaps), len(boxes)), bool)
    if not len(boxes) or not len(truth_boxes):
        return found
    boxes, truth_boxes = np.asarray(boxes, float)[:, None], np.asarray(truth_boxes, float)
    low, high = np.maximum(boxes[..., :2], truth_boxes[:, :2]), np.minimum(boxes[..., 2:], truth_boxes[:, 2:])
    common = np.maximum(high - low, 0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (boxes, truth_boxes)]
    shared = common / (areas[0] + areas[1] - common)
    shared = np.where(np.asarray(labels)[:, None] == np.asarray(truth_labels), shared, 0)
    free, every = np.ones((len(overlaps), len(truth_boxes)), bool), np.arange(len(overlaps))
    for i, row in enumerate(shared):
        met = np.where(free, row, 0)
        best = met.argmax(1)
        found[:, i] = met[every, best] >= overlaps
        free[every[found[:, i]], best[found[:, i]]] = False
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
