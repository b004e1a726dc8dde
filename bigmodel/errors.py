"""What a user can get wrong, and what they are told.

Every error that a user can cause derives from BigModelError; its text names the field or file and the limit,
and the page, the endpoints and the command line show that text and no traceback.
"""


class BigModelError(Exception):
    """Base of every error that is the user's to mend."""


class InputError(BigModelError):
    """A request's field is empty, too long, of the wrong type, or out of range.

    Args:
        field: the name of the field, as the endpoint spells it.
        message: what is wrong, and the limit.
    """

    def __init__(self, field, message):
        super().__init__(f"{field}: {message}")
        self.field = field


class ConfigError(BigModelError):
    """A configuration, preset or option is unknown or contradicts itself."""


class DataError(BigModelError):
    """A corpus is missing, empty, unreadable, or holds a bad line."""


class TrainingError(BigModelError):
    """A training cannot go on: the loss is not finite, or a checkpoint cannot be written."""


class ModelFolderError(BigModelError):
    """A model folder is incomplete, altered, or holds a file that is refused."""


class HubError(BigModelError):
    """The Hugging Face Hub cannot be reached, or refuses what was asked of it."""


class ProviderError(BigModelError):
    """An execution provider was asked for that this machine cannot offer."""


class ServerError(BigModelError):
    """The page cannot be served on this host as it was asked."""


class ExportError(BigModelError):
    """An exported graph differs from its model by more than the tolerance."""


def first_line(error):
    """Return the first line of what any exception says, or its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
