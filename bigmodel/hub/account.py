"""Who publishes, where, and what a refusal of the Hub means: what ``push`` and ``deploy`` share."""

import re
from contextlib import contextmanager

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError

from bigmodel.errors import HubError, first_line

REPOSITORY_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def connect():
    """Return the HfApi of the token's owner; the token is HF_TOKEN or the one of ``hf auth login``.

    Raises:
        HubError: there is no token, it is refused, or the Hub cannot be reached.
    """
    api = HfApi()
    with told("the token"):
        api.whoami()
    return api


def check_repository(name):
    """Return a repository's name.

    Raises:
        HubError: it is not of the form USER/NAME.
    """
    if not REPOSITORY_NAME.fullmatch(name):
        raise HubError(f"{name!r} is no name of a repository; give USER/NAME")
    return name


@contextmanager
def told(what):
    """Turn the Hub's errors into a HubError of one line.

    Args:
        what: is being asked for, as the user named it.
    """
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise HubError("no token of the Hub; set HF_TOKEN, or run: hf auth login") from error
    except HfHubHTTPError as error:
        raise HubError(_refusal(what, error)) from error
    except (HTTPError, OSError, RuntimeError) as error:
        if isinstance(error.__cause__, HfHubHTTPError):  # of an upload
            raise HubError(_refusal(what, error.__cause__)) from error
        raise HubError(f"the Hub cannot be reached: {first_line(error)}") from error
    except ValueError as error:  # front matter that the Hub does not take
        raise HubError(f"{what}: {' '.join(str(error).split())}") from error


def _refusal(what, error):
    status = error.response.status_code
    said = (error.server_message or str(error)).splitlines()[0]
    if status == 401:
        return f"the Hub refused the token ({said}); one that may write is made at huggingface.co/settings/tokens"
    if status in (402, 403):
        return f"{what}: this token may not write there ({said})"
    return f"{what}: the Hub answered {status} ({said})"


def additions(folder, names):
    """Return a commit's operations that add files of a folder under their names."""
    return [CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in names]


def megabytes(size):
    """Return a number of bytes as people write it."""
    return f"{size / 1e6:,.2f} MB"
