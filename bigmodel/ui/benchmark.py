"""How long the page takes to start, beside a bare Gradio page of three tabs: ``python -m bigmodel benchmark startup``.

Each start is a fresh process, timed from its beginning to the first HTTP 200; the two take turns.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

from bigmodel.errors import BigModelError
from bigmodel.ui.visitors import REPOSITORY, free_port

LIMIT = 1.5
TIMEOUT_S = 120
BARE = """
import gradio as gr
with gr.Blocks() as demo:
    for name in ("One", "Two", "Three"):
        with gr.Tab(name):
            gr.Textbox()
demo.launch(quiet=True)
"""
PROGRAMS = {"bare three-tab page": ["-c", BARE], "app.py": ["app.py"]}


def add_arguments(parser):
    """Declare the options of ``benchmark startup``."""
    parser.add_argument("--rounds", type=int, default=5, help="starts of each page")


def run(arguments):
    """Print the seconds of every start and the ratio of the fastest; 1 where it is above the limit, else 0."""
    seconds = {name: [] for name in PROGRAMS}
    for number in range(arguments.rounds):
        for name, program in PROGRAMS.items():
            seconds[name].append(time_to_first_page(program))
            print(f"round {number + 1}  {name:20} {seconds[name][-1]:6.2f} s", flush=True)
    # other work on the machine only adds to a start, so the fastest says most
    bare, ours = (min(values) for values in seconds.values())
    print(f"fastest   bare {bare:.2f} s, ours {ours:.2f} s: ratio {ours / bare:.2f}, at most {LIMIT}")
    return int(ours / bare > LIMIT)


def time_to_first_page(program):
    """Return the seconds from a Python process's start to its page's first HTTP 200.

    Args:
        program: arguments of the interpreter; the program serves where GRADIO_SERVER_PORT says.

    Raises:
        BigModelError: the program ended, or gave no page in time.
    """
    port = free_port()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    start = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *program], cwd=REPOSITORY, env=environment, **quiet)
    try:
        while time.perf_counter() - start < TIMEOUT_S and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - start
            except (urllib.error.URLError, OSError):
                time.sleep(0.01)
        raise BigModelError(f"{program[0]}: no page in {TIMEOUT_S} s, or it ended")
    finally:
        process.terminate()
        process.wait()
