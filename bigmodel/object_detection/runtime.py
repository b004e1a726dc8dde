"""Detecting with an exported model: pictures in, labelled boxes in their own pixels out."""

from dataclasses import dataclass, replace

import numpy as np

from bigmodel.errors import InputError, ModelFolderError
from bigmodel.object_detection.detections import decode
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.runtime.pictures import USUAL, Preparation, open_picture
from bigmodel.runtime.session import create_session

THRESHOLD = 0.4  # of a folder that names none
BATCH = 8  # pictures run together


@dataclass(frozen=True)
class Detections:
    """What was found in a picture.

    Attributes:
        boxes: (n, 4) float32: left, top, right, bottom in its pixels.
        labels: list of names, of the same length.
        scores: (n,) float32 in 0..1; best first.
        size: (width, height) of the picture, in pixels.
        pixels: (height, width, 3) uint8, the picture, made smaller where it is large; None where it is not kept.
        notes: see runtime.pictures.Picture.
    """

    boxes: np.ndarray
    labels: list
    scores: np.ndarray
    size: tuple
    pixels: np.ndarray | None = None
    notes: tuple = ()

    def above(self, threshold):
        """Return those of a score of at least ``threshold``."""
        count = int((self.scores >= threshold).sum())  # they are sorted
        return replace(self, boxes=self.boxes[:count], labels=self.labels[:count], scores=self.scores[:count])

    def counts(self, names):
        """Return name -> how many, for each of ``names``."""
        return {name: self.labels.count(name) for name in names}


class ObjectDetector:
    """Finds the objects that its model knows. Safe to use from several threads.

    Args:
        folder: ModelFolder.
        model: function of pixel_values (batch, 3, height, width) float32 that returns scores and boxes, as the graph.
        provider: what that runs on, such as "cpu", "cuda" or "tensorrt".
        skipped: why the providers before it are not used.

    Attributes:
        labels: names of what it knows.
        threshold: the score from which on a detection counts, unless another is asked for.
    """

    task = "object_detection"

    def __init__(self, folder, model, *, provider, skipped=()):
        self.folder, self.model, self.provider, self.skipped = folder, model, provider, skipped
        self.preparation = Preparation.read(folder.file("preprocessor_config.json"))
        try:
            names = folder.config["id2label"]
            self.labels = [names[str(i)] for i in range(len(names))]
        except KeyError as error:
            raise ModelFolderError(f"{folder.path / 'config.json'} lacks {error.args[0]}") from error
        self.threshold = folder.card.get("threshold", THRESHOLD)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id, *, providers=None, threads=None):
        """Open a model folder, or a model of the Hub.

        Args:
            folder_or_hub_id: a path, or "user/name" with an optional "@commit".
            providers, threads: see create_session.

        Raises:
            ModelFolderError: names the file that is missing, altered or refused.
            ProviderError: none of the providers can be had.
        """
        folder = ModelFolder.open(folder_or_hub_id, cls.task)
        session = create_session(folder.graphs(), providers, threads)
        kind = np.float16 if "float16" in session.ort.get_inputs()[0].type else np.float32

        def model(pixel_values):
            return session.ort.run(["scores", "boxes"], {"pixel_values": pixel_values.astype(kind)})

        return cls(folder, model, provider=session.provider, skipped=session.skipped)

    def detect(self, images, *, threshold=None, limits=USUAL):
        """Find objects.

        Args:
            images: a picture, or a list of them: encoded bytes, paths, PIL images, or arrays (height, width, 3) of
                uint8.
            threshold: least score, in 0..1; None takes the model's own.
            limits: runtime.pictures.PictureLimits of each.

        Returns:
            Detections, or a list of them.

        Raises:
            InputError: a picture is none or too large, or threshold is out of range.
        """
        threshold = self.threshold if threshold is None else threshold
        if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise InputError("threshold", f"{str(threshold)[:40]!r} is not a number from 0 to 1")
        several = isinstance(images, list | tuple)
        images = images if several else [images]
        found = [
            detections
            for first in range(0, len(images), BATCH)
            for detections in self._detect(
                [open_picture(image, limits=limits) for image in images[first : first + BATCH]], threshold
            )
        ]
        return found if several else found[0]

    def _detect(self, pictures, threshold):
        seen, placements = zip(*(self.preparation.see(picture.pixels, "pad") for picture in pictures), strict=True)
        scores, boxes = self.model(self.preparation.normalise(np.stack(seen)))
        for picture, placement, *outputs in zip(pictures, placements, scores, boxes, strict=True):
            found, labels, kept = decode(*outputs, self.preparation.size, threshold)
            (height, width), whole = picture.pixels.shape[:2], np.tile(picture.size, 2)
            there = placement.back(found) * whole / (width, height, width, height)
            there = there.clip(0, whole).astype(np.float32)
            inside = (there[:, 2:] > there[:, :2]).all(1)  # the rest lies on the ground around it
            names = [self.labels[label] for label in labels[inside]]
            yield Detections(there[inside], names, kept[inside], picture.size, picture.pixels, picture.notes)
