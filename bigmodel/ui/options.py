"""How the page is served: the options of ``python app.py``, each with an environment variable.

Gradio itself reads GRADIO_SERVER_NAME and GRADIO_ROOT_PATH; the others are read here.
"""

import argparse
import os

AUTH = "BIGMODEL_AUTH"


def launch_options(argv=None):
    """Return what ``launch`` is given, read from the words after ``app.py``; what is not said is left to Gradio.

    Args:
        argv: list of words; None takes them from the process.
    """
    parser = argparse.ArgumentParser(prog="python app.py", description="Serve the page.")
    parser.add_argument(
        "--share",
        action="store_true",
        default=os.environ.get("GRADIO_SHARE", "").lower() in ("1", "true"),
        help="a public link through Gradio's tunnel, for up to a week (GRADIO_SHARE=true)",
    )
    parser.add_argument("--host", help="0.0.0.0 to be reached from other machines (GRADIO_SERVER_NAME)")
    parser.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("GRADIO_SERVER_PORT") or None,
        help="7860, or the next that is free (GRADIO_SERVER_PORT)",
    )
    parser.add_argument("--root-path", help="behind a proxy under a sub-path, such as /bigmodel (GRADIO_ROOT_PATH)")
    parser.add_argument(
        "--auth",
        type=_accounts,
        default=os.environ.get(AUTH) or None,  # argparse reads a default that is a text as it reads the option
        metavar="USER:PASSWORD[,…]",
        help=f"who may open the page ({AUTH}, which keeps it out of the list of processes)",
    )
    options = parser.parse_args(argv)
    named = {"server_name": options.host, "server_port": options.port, "root_path": options.root_path}
    given = {name: value for name, value in named.items() if value is not None}
    return {**given, "share": options.share, "auth": options.auth}


def _port(text):
    """Return a port's number."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no port; give a number from 1 to 65535")
    return int(text)


def _accounts(text):
    """Return (user, password) pairs."""
    pairs = [tuple(account.split(":", 1)) for account in text.split(",")]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise argparse.ArgumentTypeError("give USER:PASSWORD, several separated by commas")
    return pairs
