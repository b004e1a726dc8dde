"""``python -m bigmodel parity text_generation``: does the graph for a GPU say there what the weights say on the CPU?

    python -m bigmodel parity text_generation --model export/artifacts/stories --provider cuda --data DATA

Torch continues each prompt greedily, in float32 on the CPU. The 16-bit graph reads the same on the provider as it would
serve it: texts together, their cache on the device, a token a step. Its log-probabilities are compared after the prompt
and at each step; and where it would have chosen every token of a text, its greedy text is the CPU's. The command fails
above the tolerance of 16-bit graphs, or where fewer than 95 of 100 texts are equal.

Prompts are beginnings of the model's validation text, or without ``--data`` what the model itself writes, seeded.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from bigmodel.config import read_json
from bigmodel.errors import ConfigError, DataError, ExportError
from bigmodel.evaluation import speed
from bigmodel.evaluation.results import keep
from bigmodel.nn.cache import KVCache
from bigmodel.nn.checkpoint import from_pretrained
from bigmodel.runtime.decoding import Decoder
from bigmodel.runtime.session import PROVIDERS, create_session
from bigmodel.text_generation.data import valid_plain, valid_poems
from bigmodel.text_generation.evaluate import find_corpora
from bigmodel.training import peers
from export.parity import TOLERANCES, Difference, log_softmax, sample_rows
from export.text_generation import CUDA_GRAPH

TOGETHER = 16  # texts in a batch
PROMPT = 16  # tokens
LEAST_EQUAL = 0.95


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``parity text_generation``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--provider", choices=PROVIDERS, required=True, help="that runs the 16-bit graph")
    parser.add_argument("--data", type=Path, help="folder of the corpora, or a file; default: the model's own texts")
    parser.add_argument("--prompts", type=int, default=100, help="so many (default 100)")
    parser.add_argument("--new", type=int, default=64, help="tokens that continue each (default 64)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default 1)")
    parser.set_defaults(train=None)


def run(arguments):
    """Compare, print the differences, keep them in metrics.json, and return 0.

    Raises:
        ExportError: the provider's graph says something else.
    """
    if min(arguments.prompts, arguments.new) < 1:
        raise ConfigError("--prompts and --new: give 1 or more")
    torch.set_num_threads(arguments.threads)
    path, config = arguments.model, read_json(arguments.model / "config.json")
    session = create_session(path / CUDA_GRAPH, [arguments.provider], arguments.threads, cuda_graph=True)
    model, decoder = from_pretrained(path), Decoder(session, config, TOGETHER)
    prompts = read_prompts(arguments, config) if arguments.data else own_prompts(model, arguments.prompts)
    new = min(arguments.new, config["max_position_embeddings"] - max(map(len, prompts)))
    report, equal = measure(decoder, model, prompts, new, config["eos_token_id"])
    for way, difference in report.items():
        limit = TOLERANCES["fp16"]
        print(
            f"{way:8} largest {difference.largest:.1e} (at most {limit.largest:.0e})  "
            f"expected {difference.expected:.1e} (at most {limit.expected:.0e}) {difference.unit}"
        )
    print(f"greedy texts equal the CPU's: {equal} of {len(prompts)}")
    found = {way: asdict(difference) for way, difference in report.items()}
    found["cuda_graph"] = decoder.recording and not decoder.not_recorded
    figures = {**found, "equal": equal, "prompts": len(prompts), "new_tokens": new, "data": bool(arguments.data)}
    place = peers.surroundings(peers.matching_device(arguments.provider))
    keep(path, "parity", arguments.provider, {**speed.about(arguments.threads), **place, **figures})
    for way, difference in report.items():
        difference.check(f"{CUDA_GRAPH} on {arguments.provider}, {way},", TOLERANCES["fp16"])
    if equal < LEAST_EQUAL * len(prompts):
        raise ExportError(
            f"{equal} of {len(prompts)} greedy texts are the CPU's; at least {LEAST_EQUAL:.0%} have to be"
        )
    return 0


def own_prompts(model, count):
    """Return so many lists of token ids that a model draws."""
    return [row.tolist() for row in sample_rows(model, [PROMPT] * count)]


def read_prompts(arguments, config):
    """Return prompts of the validation text: what stands before a poem's body, or tokens from anywhere in a plain text.

    Args:
        arguments: with model, data and prompts.
        config: dict of config.json.

    Raises:
        DataError: the text is missing, or too short.
    """
    source, _ = find_corpora(arguments, config.get("bigmodel", {}))
    tokenizer, rng = Tokenizer.from_file(str(arguments.model / "tokenizer.json")), np.random.default_rng(0)
    if config.get("bigmodel", {}).get("format") == "poetry":
        poems = valid_poems(source, tokenizer)[0]
        chosen = rng.choice(len(poems), min(arguments.prompts, len(poems)), replace=False)
        return [poems[i][0][: poems[i][1]].tolist() for i in chosen]
    documents = valid_plain(source, tokenizer)[0]
    tokens = np.concatenate([ids[1:] for ids, _ in documents])
    if len(tokens) <= PROMPT:
        raise DataError(f"{source}: too short for prompts of {PROMPT} tokens")
    begin = documents[0][0][:1].tolist()
    return [
        begin + tokens[at : at + PROMPT].tolist() for at in rng.integers(len(tokens) - PROMPT, size=arguments.prompts)
    ]


def measure(decoder, model, prompts, new, end):
    """Compare a provider's decoder with the model in torch.

    Args:
        decoder: runtime.decoding.Decoder.
        model: CausalLM in float32, on the CPU.
        prompts: lists of token ids.
        new: tokens of each continuation at most.
        end: id that ends a text.

    Returns:
        dict of "prefill", "steps" -> Difference, and how many greedy texts are equal.
    """
    errors, equal = {"prefill": [], "steps": []}, 0
    for first in range(0, len(prompts), decoder.slots):
        batch = prompts[first : first + decoder.slots]
        texts, references = zip(*(greedy(model, prompt, new, end) for prompt in batch), strict=True)
        for text, wanted, found in zip(texts, references, follow(decoder, batch, texts), strict=True):
            error = np.abs(found - wanted)
            rows = list(zip(error.max(-1), (np.exp(wanted) * error).sum(-1), strict=True))
            errors["prefill"] += rows[:1]
            errors["steps"] += rows[1:]
            equal += found.argmax(-1).tolist() == text
    report = {
        way: Difference(
            *(float(f(column)) for f, column in zip((np.max, np.mean), zip(*rows, strict=True), strict=True))
        )
        for way, rows in errors.items()
        if rows
    }
    return report, equal


@torch.inference_mode()
def greedy(model, prompt, new, end):
    """Return the likeliest continuation, and the log-probabilities (ids, vocab_size) of which each id is the best."""
    cache, fed, ids, rows = KVCache(), prompt, [], []
    while len(ids) < new and fed != [end]:
        logits = model(torch.tensor([fed]), cache=cache)[0, -1].float().numpy()
        ids.append(int(logits.argmax()))
        rows.append(logits)
        fed = ids[-1:]
    return ids, log_softmax(np.stack(rows))


def follow(decoder, prompts, texts):
    """Return the decoder's log-probabilities (ids, vocab_size) of each text after its prompt, all in one batch."""
    rows = [[decoder.prefill(slot, prompt)[0].copy()] for slot, prompt in enumerate(prompts)]
    for step in range(max(map(len, texts)) - 1):
        slots = [slot for slot, text in enumerate(texts) if step + 1 < len(text)]
        logits = decoder.step(slots, [texts[slot][step] for slot in slots])
        for slot, row in zip(slots, logits, strict=True):
            rows[slot].append(row.copy())
    return [log_softmax(np.stack(row)) for row in rows]
