"""What a visitor asks of a classifier: the fields and their limits."""

from dataclasses import dataclass

from bigmodel.errors import InputError
from bigmodel.runtime.pictures import FITS
from bigmodel.ui.pictures import PICTURE_LIMITS
from bigmodel.ui.validation import check_choice, check_number

TASK = "image_classification"
FAVOURITE = "photos"  # of the models, by the name in their cards, where it is here
MAX_LABELS = 100


@dataclass(frozen=True)
class Request:
    """The checked fields of a request; the picture itself is checked when it is opened.

    Attributes:
        image: encoded bytes, the path of a file, or an array.
        model: name of the model.
        fit: "crop" or "pad".
        top_k: labels to name.
    """

    image: object
    model: str
    fit: str = FITS[0]
    top_k: int = 5

    @classmethod
    def check(cls, models, image, model=None, fit=None, top_k=None):
        """Return a request of these values.

        Raises:
            InputError: names the first field that is wrong, and its limit.
        """
        if image is None:
            raise InputError("image", "is missing; give a picture")
        known = names(models)
        if not known:
            raise InputError("model", "this host has no classifier")
        model = check_choice("model", model, known) or known[0]
        fit = check_choice("fit", fit, FITS) or FITS[0]
        return cls(image, model, fit, check_number("top_k", top_k, 1, MAX_LABELS, whole=True) or 5)

    def answer(self, models):
        """Return the runtime.Classification.

        Raises:
            InputError: the picture cannot be read, or the model cannot be opened.
        """
        return models.get(self.model, TASK).classify(self.image, top_k=self.top_k, fit=self.fit, limits=PICTURE_LIMITS)


def names(models, *, wait=False):
    """Return the names of the classifiers that are here, the favourite first; ``wait``: see Models.of_task."""
    entries = models.of_task(TASK, wait=wait)
    return [entry.name for entry in sorted(entries, key=lambda entry: entry.card.get("name") != FAVOURITE)]
