"""``python -m bigmodel translate --model export/artifacts/en-de "Two dogs play."``: translate in the terminal.

Without a text the lines of standard input are translated, each as it comes.
"""

import argparse
import sys

from bigmodel.translation.runtime import Translator


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``translate``."""
    parser.add_argument("text", nargs="*", help="what is to be translated; default: the lines of standard input")
    parser.add_argument("--model", required=True, help="model folder, a shipped model's name, or an id of the Hub")
    parser.add_argument("--source", default="auto", help="code of the text's language (default: detected)")
    parser.add_argument("--target", help="code; default: the first that fits the source")
    parser.add_argument("--beams", type=int, help="hypotheses of the search; 1 is greedy (default: the model's own)")
    parser.add_argument("--alternatives", type=int, default=1, help="translations of each sentence (default 1)")


def run(arguments):
    """Translate, print, and return 0."""
    translator = Translator.from_pretrained(arguments.model)
    for text in [" ".join(arguments.text)] if arguments.text else _lines():
        found = translator.translate(
            text,
            source=arguments.source,
            target=arguments.target,
            num_beams=arguments.beams,
            num_alternatives=arguments.alternatives,
        )
        print(found.text, flush=True)
        if arguments.alternatives > 1:
            for alternatives in found.alternatives:
                for alternative in alternatives:
                    print(f"  {alternative.score:.0%}  {alternative.text}", flush=True)
    return 0


def _lines():
    """Yield the lines of standard input; a byte that is no UTF-8 becomes U+FFFD."""
    sys.stdin.reconfigure(errors="replace")
    for line in sys.stdin:
        yield line.rstrip("\n")
