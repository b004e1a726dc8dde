"""``python -m bigmodel push MODEL USER/NAME``: publish a model folder as a model repository with its card."""

from pathlib import Path

from huggingface_hub import CommitOperationDelete

from bigmodel.errors import HubError
from bigmodel.hub.account import additions, check_repository, connect, megabytes, told
from bigmodel.runtime.artifacts import LISTED, MANIFEST, verify


def add_arguments(parser):
    """Declare the options of ``push``."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model folder, such as export/artifacts/poetry")
    parser.add_argument("repository", metavar="USER/NAME", help="model repository; it is made where it is not there")
    parser.add_argument("--private", action="store_true", help="a new repository is seen by its owner alone")
    parser.add_argument("--dry-run", action="store_true", help="say what would go up, and ask nothing of the Hub")


def run(arguments):
    """Publish the folder, print its address and how a page serves it, and return 0."""
    folder, repository = arguments.model, check_repository(arguments.repository)
    names = published_files(folder)
    for name in names:
        print(f"{megabytes((folder / name).stat().st_size):>12}  {name}")
    if arguments.dry_run:
        return 0
    api = connect()
    with told(repository):
        url = api.create_repo(repository, private=arguments.private or None, exist_ok=True)
        left = sorted(n for n in set(api.list_repo_files(repository)) - {*names} if n.endswith(LISTED))  # refused else
        for name in left:
            print(f"{'taken away':>12}  {name}")
        changes = [*additions(folder, names), *(CommitOperationDelete(path_in_repo=name) for name in left)]
        commit = api.create_commit(repository, changes, commit_message=f"Publish {folder.name}")
    print(f"{url}\nserve it: BIGMODEL_MODELS={repository}@{commit.oid} python app.py")
    return 0


def published_files(folder):
    """Return the names of a model folder's files: those of its manifest, and the manifest.

    Raises:
        HubError: the folder has no card.
        ModelFolderError: it is incomplete, altered, or holds a file that is refused.
    """
    names = sorted([*verify(folder), MANIFEST])
    if "README.md" not in names:
        raise HubError(f"{folder} has no card; try: python -m bigmodel report --model {folder}")
    return names
