"""Write text in the terminal, as it comes.

python -m bigmodel generate text_generation --model stories --prompt "Once upon a time"
python -m bigmodel generate text_generation --model poetry --form 七绝 --title 秋夜 --acrostic 春夏秋冬
"""

import sys
import time

from bigmodel.errors import InputError
from bigmodel.text_generation.poetry import FORMS, KINDS
from bigmodel.text_generation.request import Request, known, unknown_characters
from bigmodel.text_generation.runtime import TextGenerator

POEM_FIELDS = ("kind", "form", "author", "title", "acrostic")


def add_arguments(parser):
    """Declare the options of ``generate text_generation``."""
    parser.add_argument("--model", required=True, help="model folder, a shipped model's name, or an id of the Hub")
    parser.add_argument("--prompt", default="", help="the beginning; of a poem, the beginning of its body")
    parser.add_argument("--max-new-tokens", type=int)
    parser.add_argument("--temperature", type=float, help="0 always takes the likeliest token")
    parser.add_argument("--top-k", type=int, help="keep the k likeliest tokens; 0 keeps all")
    parser.add_argument("--top-p", type=float, help="keep the fewest tokens whose probabilities sum to this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--providers", help="to try in this order, such as cuda,cpu")
    parser.add_argument("--threads", type=int)
    poem = parser.add_argument_group("poems")
    poem.add_argument("--kind", choices=KINDS)
    poem.add_argument("--form", choices=FORMS)
    poem.add_argument("--author")
    poem.add_argument("--title")
    poem.add_argument("--acrostic", help="the first characters of the lines (藏头诗)")


def run(arguments):
    """Stream the text to the terminal; the speed goes to stderr. Returns 0."""
    generator = TextGenerator.from_pretrained(arguments.model, providers=arguments.providers, threads=arguments.threads)
    for field in ("prompt", "author", "title"):
        if unknown := unknown_characters(generator, getattr(arguments, field) or ""):
            print(f"skipped, unknown to the model: {''.join(unknown)}", file=sys.stderr)
    prompt, constraint = make_prompt(generator, arguments)
    pieces = generator.stream(
        prompt,
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
        constraint=constraint,
    )
    print(known(generator, arguments.prompt), end="", flush=True)
    start, count = time.perf_counter(), 0
    for piece in pieces:
        print(piece, end="", flush=True)
        count += 1
    seconds = time.perf_counter() - start
    print(flush=True)
    print(f"{count} pieces, {count / seconds:.0f} a second, on {generator.provider}", file=sys.stderr)
    return 0


def make_prompt(generator, arguments):
    """Return the model's prompt, and the constraint of an acrostic or None.

    Raises:
        InputError: a poem's field for a model that writes none, or a wrong acrostic.
    """
    given = {field: value for field in POEM_FIELDS if (value := getattr(arguments, field))}
    if generator.format != "poetry":
        if given:
            raise InputError(next(iter(given)), f"{generator.folder.name} writes no poems")
        return Request().opening(generator, arguments.prompt) if arguments.prompt else "", None
    request = Request(**given)
    return request.opening(generator, arguments.prompt), request.constraint(generator, arguments.prompt)
