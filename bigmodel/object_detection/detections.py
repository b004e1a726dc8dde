"""From the scores and boxes of all tokens to a list of detections. Imports no torch."""

import numpy as np

MOST = 100  # detections of a picture
THRESHOLDS = 0.05, 0.95  # limits of the page's slider


def decode(scores, boxes, size, threshold=0.0):
    """Return the detections of a picture, best first.

    Args:
        scores: (tokens, labels), in 0..1.
        boxes: (tokens, 4) cxcywh, as shares of the picture.
        size: (height, width) of the picture, in pixels.
        threshold: least score.

    Returns:
        boxes (n, 4) float32 xyxy in pixels, within the picture; labels (n,) int64; scores (n,) float32.
    """
    flat = scores.ravel()
    order = np.argsort(-flat, kind="stable")[:MOST]
    order = order[flat[order] >= threshold]
    tokens, labels = np.unravel_index(order, scores.shape)
    height, width = size
    centre, half = boxes[tokens, :2], boxes[tokens, 2:] / 2
    corners = np.concatenate([centre - half, centre + half], 1).clip(0, 1)
    return (corners * [width, height, width, height]).astype(np.float32), labels, flat[order].astype(np.float32)
