"""What a visitor asks of a detector: the fields and their limits."""

from dataclasses import dataclass

from bigmodel.errors import InputError
from bigmodel.ui.pictures import PICTURE_LIMITS
from bigmodel.ui.validation import check_choice, check_number

TASK = "object_detection"


@dataclass(frozen=True)
class Request:
    """The checked fields of a request; a picture itself is checked when it is opened.

    Attributes:
        image: encoded bytes, the path of a file, or an array.
        model: name of the model.
        threshold: least score; None leaves it to the model.
    """

    image: object
    model: str
    threshold: float | None = None

    @classmethod
    def check(cls, models, image, model=None, threshold=None):
        """Return a request of these values.

        Raises:
            InputError: names the first field that is wrong, and its limit.
        """
        if image is None:
            raise InputError("image", "is missing; give a picture")
        known = models.names(TASK)
        if not known:
            raise InputError("model", "this host has no detector")
        model = check_choice("model", model, known) or known[0]
        return cls(image, model, check_number("threshold", threshold, 0, 1))

    def answer(self, models):
        """Return the runtime.Detections.

        Raises:
            InputError: the picture cannot be read, or the model cannot be opened.
        """
        return models.get(self.model, TASK).detect(self.image, threshold=self.threshold, limits=PICTURE_LIMITS)
