"""``python -m bigmodel deploy USER/NAME``: this repository as a Hugging Face Space, made or brought up to date.

The files that git tracks go up, as they stand in the working tree; what was deployed before and is gone here is
deleted there.
"""

import os
import re
import subprocess
import time
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, SpaceStage

from bigmodel.errors import HubError
from bigmodel.hub.account import REPOSITORY_NAME, additions, check_repository, connect, megabytes, told

REPOSITORY = Path(__file__).parents[2]
# of the Hub's own making in a new Space
INITIAL = {".gitattributes", "README.md"}
OURS = "bigmodel/ui/app.py"
README, REQUIREMENTS = "README.md", "requirements.txt"
ZERO_GPU_TORCH = "2.11.0"  # the newest that ZeroGPU takes; it brings CUDA 13, too
POLL_S = 5.0
STARTING = {SpaceStage.BUILDING, SpaceStage.RUNNING_BUILDING, SpaceStage.APP_STARTING, SpaceStage.RUNNING_APP_STARTING}


def add_arguments(parser):
    """Declare the options of ``deploy``."""
    parser.add_argument("space", metavar="USER/NAME", help="the Space; it is made where it is not there")
    parser.add_argument("--hardware", help="such as cpu-basic, zero-a10g or t4-small; left as it is by default")
    parser.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="KEY[=VALUE]",
        help="environment variable that only the Space sees; without a value it is taken from this environment",
    )
    parser.add_argument(
        "--models", metavar="USER/NAME@COMMIT[,…]", help="that the Space serves and names, instead of the shipped ones"
    )
    parser.add_argument("--private", action="store_true", help="a new Space is seen by its owner alone")
    parser.add_argument("--minutes", type=float, default=20, help="to wait until it runs; 0 does not wait")
    parser.add_argument("--dry-run", action="store_true", help="say what would go up, and ask nothing of the Hub")


def run(arguments):
    """Deploy, print the address, and return 0; or say why not."""
    space, secrets = check_repository(arguments.space), read_secrets(arguments.secret)
    names = space_files(REPOSITORY)
    sizes = {name: (REPOSITORY / name).stat().st_size for name in names}
    if arguments.dry_run:
        for name, size in sizes.items():
            print(f"{megabytes(size):>12}  {name}")
    print(f"{megabytes(sum(sizes.values())):>12}  in {len(names)} files, for {space}")
    if arguments.dry_run:
        return 0
    api = connect()
    with told(space):
        url = api.create_repo(
            space, repo_type="space", space_sdk="gradio", private=arguments.private or None, exist_ok=True
        )
        there = set(api.list_repo_files(space, repo_type="space"))
    if there - INITIAL and OURS not in there:
        raise HubError(f"{space} is taken: that Space holds another project; choose another name")
    with told(space):
        for key, value in secrets.items():
            api.add_space_secret(space, key, value)
        asked = arguments.hardware
        runtime = api.request_space_hardware(space, asked) if asked else api.get_space_runtime(space)
        changed = []
        if arguments.models:
            api.add_space_variable(space, "BIGMODEL_MODELS", arguments.models)
        kept = api.get_space_variables(space).get("BIGMODEL_MODELS")
        if models := arguments.models or (kept and kept.value):
            changed.append(space_readme(REPOSITORY, models))
        if str(runtime.requested_hardware).startswith("zero-"):
            changed.append(zero_gpu_requirements(REPOSITORY))
        named = {change.path_in_repo: change for change in changed}
        changes = [named.get(change.path_in_repo, change) for change in additions(REPOSITORY, names)]
        changes += [CommitOperationDelete(path_in_repo=name) for name in sorted(there - INITIAL - set(names))]
        commit = api.create_commit(space, changes, commit_message="Deploy BigModel", repo_type="space")
    print(url)
    if arguments.minutes:
        wait_until_running(api, space, commit.oid, arguments.minutes * 60)
    return 0


def space_files(repository):
    """Return the names of the files that git tracks in a working tree, sorted.

    Raises:
        HubError: it is no git repository.
    """
    command = ["git", "-C", str(repository), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        raise HubError(f"{repository.name} is no git repository, which says what belongs to the Space")
    return sorted(name for name in listed.stdout.split("\0") if name and (repository / name).is_file())


def zero_gpu_requirements(repository):
    """Return the commit's operation of requirements.txt for ZeroGPU: with a torch that it takes, and its package."""
    text = (repository / REQUIREMENTS).read_text(encoding="utf-8")
    text = re.sub("^torch==.*", f"torch=={ZERO_GPU_TORCH}", text, flags=re.MULTILINE) + "spaces\n"
    return CommitOperationAdd(path_in_repo=REQUIREMENTS, path_or_fileobj=text.encode())


def space_readme(repository, models):
    """Return the commit's operation of README.md whose front matter names the Hub's models that the Space serves.

    Args:
        repository: Path.
        models: value of BIGMODEL_MODELS; folders in it are left out, and commits.
    """
    names = (name.strip().partition("@")[0] for name in models.split(","))
    linked = [name for name in names if REPOSITORY_NAME.fullmatch(name) and not (repository / name).exists()]
    text = (repository / README).read_text(encoding="utf-8")
    text = text.replace("\ntags: ", f"\nmodels: [{', '.join(linked)}]\ntags: ", 1)
    return CommitOperationAdd(path_in_repo=README, path_or_fileobj=text.encode())


def read_secrets(words):
    """Return key -> value of ``KEY=VALUE`` words, and of ``KEY`` words from this process's environment.

    Raises:
        HubError: the environment has no such variable, or the key is empty.
    """
    secrets = {}
    for word in words:
        key, given, value = word.partition("=")
        if not key or not given and key not in os.environ:
            raise HubError(f"--secret {word}: give KEY=VALUE, or the name of a variable of this environment")
        secrets[key] = value if given else os.environ[key]
    return secrets


def wait_until_running(api, space, commit, timeout):
    """Wait until a Space runs a commit, and print each stage on the way.

    Args:
        api: HfApi.
        space: "user/name".
        commit: its id; the Space may run an earlier one yet.
        timeout: seconds.

    Raises:
        HubError: the Space cannot be built or started, or takes longer.
    """
    deadline, last = time.monotonic() + timeout, None
    while True:
        with told(space):
            runtime = api.get_space_runtime(space)
        earlier = runtime.raw.get("sha", commit) != commit
        stage = f"{runtime.stage}, an earlier version" if earlier else runtime.stage
        if stage != last:
            print(f"{space}: {stage}", flush=True)
        last = stage
        if not earlier and runtime.stage == SpaceStage.RUNNING:
            return
        if not earlier and runtime.stage not in STARTING:
            reason = str(runtime.raw.get("errorMessage") or "see its logs on the Hub").splitlines()[0]
            raise HubError(f"{space} does not run: {runtime.stage}, {reason}")
        if time.monotonic() > deadline:
            raise HubError(f"{space} is still {stage} after {timeout / 60:g} minutes; it goes on by itself")
        time.sleep(POLL_S)
