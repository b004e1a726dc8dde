"""Detections as tables: rows, CSV, and COCO's JSON."""

import csv
import io
import json

HEADERS = ("label", "score", "x0", "y0", "x1", "y1")


def rows(found):
    """Return a row for each detection: label, score, and the box in pixels; best first.

    Args:
        found: runtime.Detections.
    """
    return [
        [name, round(float(score), 4), *(round(float(edge), 1) for edge in box)]
        for name, score, box in zip(found.labels, found.scores, found.boxes, strict=True)
    ]


def to_csv(pictures):
    """Return CSV text of several pictures, a line for each detection; what spreadsheets take for a formula is quoted.

    Args:
        pictures: file name -> Detections.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", *HEADERS])
    for name, found in pictures.items():
        shown = f"'{name}" if name[:1] in "=+-@\t\r" else name
        writer.writerows([shown, *row] for row in rows(found))
    return text.getvalue()


def to_coco(pictures, labels):
    """Return COCO's JSON of several pictures: images, categories, and annotations with their score.

    Args:
        pictures: file name -> Detections.
        labels: names of all classes.

    Source: Lin et al. 2014, arXiv:1405.0312; cocodataset.org/#format-data.
    """
    numbers = {name: i + 1 for i, name in enumerate(labels)}
    images, annotations = [], []
    for name, found in pictures.items():
        width, height = found.size
        images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        for label, score, x0, y0, x1, y1 in rows(found):
            box = [x0, y0, round(x1 - x0, 1), round(y1 - y0, 1)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": numbers[label],
                    "bbox": box,
                    "area": round(box[2] * box[3], 1),
                    "iscrowd": 0,
                    "score": score,
                }
            )
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return json.dumps({"images": images, "categories": categories, "annotations": annotations}, ensure_ascii=False)
