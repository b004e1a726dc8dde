"""Classifying with an exported model: pictures in; labels, doubts, and where the model looked out."""

from dataclasses import dataclass

import numpy as np

from bigmodel.errors import InputError, ModelFolderError
from bigmodel.image_classification.calibration import log_softmax
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.runtime.pictures import USUAL, Picture, Placement, Preparation, open_picture
from bigmodel.runtime.session import create_session

BATCH = 32  # pictures run together
TOP_K = 5


@dataclass(frozen=True)
class Classification:
    """What a model says of a picture.

    Attributes:
        labels: list of (name, calibrated probability), the likeliest first.
        distance: from the training's pictures; about 1 is usual.
        unfamiliar: the distance is above the model's threshold; then the labels mean little.
        looked: (rows, columns) float32, the share of attention that each place got; they sum to 1.
        seen: (height, width[, 3]) uint8, what the model saw.
        pixels: (height, width, 3) uint8, the picture as it was opened, and inverted where it had to be.
        placement: where these pixels went in what the model saw.
        notes: see runtime.pictures.Picture; "inverted" where light and dark changed places.
    """

    labels: list
    distance: float
    unfamiliar: bool
    looked: np.ndarray
    seen: np.ndarray
    pixels: np.ndarray
    placement: Placement
    notes: tuple


class ImageClassifier:
    """Names what a picture shows, among the labels that its model knows. Safe to use from several threads.

    Args:
        folder: ModelFolder.
        model: function of pixel_values (batch, channels, height, width) float32 and of names of outputs of the graph,
            which it returns.
        provider: what that runs on, such as "cpu", "cuda" or "tensorrt".
        skipped: why the providers before it are not used.

    Attributes:
        labels: names of what it knows.
        preparation: runtime.pictures.Preparation.
        temperature, threshold: of its calibration.
    """

    task = "image_classification"

    def __init__(self, folder, model, *, provider, skipped=()):
        self.folder, self.model, self.provider, self.skipped = folder, model, provider, skipped
        self.preparation = Preparation.read(folder.file("preprocessor_config.json"))
        try:
            names, self._layers = folder.config["id2label"], folder.config["num_hidden_layers"]
            self._heads, calibration = folder.config["num_attention_heads"], folder.card["calibration"]
            self.temperature, self.threshold = calibration["temperature"], calibration["distance_threshold"]
            self.labels = [names[str(i)] for i in range(len(names))]
            stride = int(np.prod(folder.config["stem"]["strides"]))
        except KeyError as error:
            raise ModelFolderError(f"{folder.path / 'config.json'} lacks {error.args[0]}") from error
        self._grid = tuple(side // stride for side in self.preparation.size)

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

        def model(pixel_values, names):
            return session.ort.run(names, {"pixel_values": pixel_values.astype(kind)})

        return cls(folder, model, provider=session.provider, skipped=session.skipped)

    def classify(self, images, *, top_k=TOP_K, fit="crop", limits=USUAL):
        """Say what pictures show.

        Args:
            images: a picture, or a list of them: encoded bytes, paths, PIL images, arrays (height, width, 3) of uint8,
                or a runtime.pictures.Picture, which is taken as it is and never inverted.
            top_k: labels for each.
            fit: "crop" looks at the middle, "pad" at all of it; see runtime.pictures.Preparation.
            limits: runtime.pictures.PictureLimits of each.

        Returns:
            A Classification, or a list of them.

        Raises:
            InputError: names what is wrong.
        """
        if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
            raise InputError("top_k", f"{str(top_k)[:40]!r}; give a whole number from 1")
        several = isinstance(images, list | tuple)
        images = images if several else [images]
        found = [
            classification
            for first in range(0, len(images), BATCH)
            for classification in self._classify(images[first : first + BATCH], top_k, fit, limits)
        ]
        return found if several else found[0]

    def _classify(self, images, top_k, fit, limits):
        opened = [self.open(image, limits) for image in images]
        seen, placements = zip(*(self.preparation.see(pixels, fit) for pixels, _ in opened), strict=True)
        names = [f"{part}.{layer}" for part in ("query", "key") for layer in range(self._layers)]
        pixel_values = self.preparation.normalise(np.stack(seen))
        logits, distances, *attended = self.model(pixel_values, ["logits", "distance", *names])
        probabilities = np.exp(log_softmax(logits / self.temperature))
        looked = self._rollout(attended[: self._layers], attended[self._layers :])
        for i, (pixels, notes) in enumerate(opened):
            order = np.argsort(-probabilities[i])[:top_k]
            shown = seen[i].transpose(1, 2, 0)
            yield Classification(
                labels=[(self.labels[label], float(probabilities[i, label])) for label in order],
                distance=float(distances[i]),
                unfamiliar=bool(distances[i] > self.threshold),
                looked=looked[i],
                seen=shown if shown.shape[2] == 3 else shown[:, :, 0],
                pixels=pixels,
                placement=placements[i],
                notes=notes,
            )

    def open(self, image, limits=USUAL):
        """Return a picture's pixels (height, width, 3) uint8 and notes; inverted if its ground is not the training's.

        A model that learnt from grey pictures on one ground is lost on the opposite one.

        Raises:
            InputError: see open_picture.
        """
        picture = image if isinstance(image, Picture) else open_picture(image, limits=limits)
        ground = self.preparation.ground
        if picture is image or ground is None or len(ground) != 1:
            return picture.pixels, picture.notes
        edges = np.concatenate([picture.pixels[[0, -1]].ravel(), picture.pixels[:, [0, -1]].ravel()])
        if abs(float(np.median(edges)) - ground[0]) <= 127:
            return picture.pixels, picture.notes
        return 255 - picture.pixels, (*picture.notes, "inverted")

    def judge(self, seen):
        """Return logits (count, labels) and distances (count,) float32 of uint8 pictures (count, channels, …)."""
        parts = (seen[i : i + BATCH] for i in range(0, len(seen), BATCH))
        found = [self.model(self.preparation.normalise(part), ["logits", "distance"]) for part in parts]
        return tuple(np.concatenate(column) for column in zip(*found, strict=True))

    def _rollout(self, queries, keys):
        """Return where the class token looked (batch, rows, columns), through all layers.

        Every layer mixes tokens by the mean of its heads' attention and, by its residual branch, keeps them: half each.

        Source: Abnar and Zuidema 2020, arXiv:2005.00928.
        """
        rolled = None
        for query, key in zip(queries[::-1], keys[::-1], strict=True):
            query, key = (self._by_head(values) for values in (query, key))
            scores = query @ key.swapaxes(-1, -2) / np.sqrt(key.shape[-1])
            weights = np.exp(log_softmax(scores)).mean(1)
            if rolled is None:  # the last layer: the class token is all that counts
                rolled = weights[:, :1] / 2
                rolled[:, :, 0] += 0.5
            else:
                rolled = (rolled @ weights + rolled) / 2
        places = rolled[:, 0, 1:].reshape(-1, *self._grid)
        return places / places.sum((1, 2), keepdims=True)

    def _by_head(self, values):
        """(batch, tokens, hidden_size) -> (batch, heads, tokens, head_dim) float32."""
        values = values.astype(np.float32)
        return values.reshape(*values.shape[:2], self._heads, -1).swapaxes(1, 2)
