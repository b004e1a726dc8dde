r"""How fast texts are written together on one provider, beside transformers on the same device, in turn.

    python -m bigmodel benchmark text_generation --model export/artifacts/stories --provider cuda --batch 1,16,128

Ours is the graph that the provider serves, decoded as the page does it; where CUDA records its runs, also without.
Its peers are the stock ``generate`` with a static cache, plain and with its forward compiled by torch.compile: in
float16 on a GPU, in float32 on the CPU. All are in this process and each writes a batch of texts in turn; sampling is
the same for all, and no text ends early.

"per_second" counts the tokens after the first of each text, "first_token_ms" is until every text has its first one.
"bandwidth_share" is of the limit that memory sets: a step has to read the weights and what the cache holds, at the
bytes a second that a copy on that device has just reached, read and written.
"""

import statistics
import sys
import time
from dataclasses import replace

from bigmodel.config import read_json, write_json
from bigmodel.errors import ConfigError
from bigmodel.evaluation import speed
from bigmodel.evaluation.results import keep
from bigmodel.runtime.decoding import Decoder
from bigmodel.runtime.onnx_files import external_data
from bigmodel.runtime.sampling import TOGETHER, Sampler, among_rows
from bigmodel.runtime.session import create_session
from bigmodel.text_generation.contenders import TEMPERATURE, TOP_K, stock_generate
from bigmodel.training import peers

BATCHES = (1, 16, 128)
CPU_GRAPH, CUDA_GRAPH = "onnx/model_quantized.onnx", "model_fp16.onnx"  # of a model folder


def compare(path, arguments):
    """Measure every batch, print the table, keep the figures and return 0.

    Args:
        path: model folder.
        arguments: of ``benchmark text_generation``, with a provider.
    """
    import torch

    torch.set_num_threads(arguments.threads)
    config, graphs = read_json(path / "config.json"), {"cpu": path / CPU_GRAPH, "cuda": path / CUDA_GRAPH}
    if arguments.prompt + arguments.new > config["max_position_embeddings"]:
        raise ConfigError(f"--prompt and --new: at most {config['max_position_embeddings']} tokens together")
    sessions = our_sessions(graphs, arguments)
    session = next(iter(sessions.values()))
    device = peers.matching_device(arguments.provider)
    bandwidth, rows, absent = peers.copy_bandwidth(device), [], {}
    others = {
        f"transformers {name}": Transformers(path, device, compiled)
        for name, compiled in (("static cache", False), ("compiled", True))
    }
    for batch in arguments.batch:
        engines = {**{name: Ours(opened, config, batch) for name, opened in sessions.items()}, **others}
        for name, times in measure(engines, batch, arguments, config["vocab_size"], absent).items():
            limit = bandwidth / step_bytes(engines[name], config, batch, arguments)
            rows.append(row(name, batch, arguments.new, times, limit))
            print(line(rows[-1]), file=sys.stderr)  # at once: on a GPU one may not have the time for all batches
        if fault := next(iter(engines.values())).decoder.not_recorded:
            absent[f"recorded runs, {batch} together"] = fault
            session = replace(session, cuda_graph=False)
    result = {
        **speed.about(arguments.threads),
        **peers.surroundings(device),
        "unit": "tokens",
        "prompt_tokens": arguments.prompt,
        "new_tokens": arguments.new,
        "rounds": arguments.rounds,
        "bandwidth_bytes_per_second": bandwidth,
        "cuda_graph": session.cuda_graph,
        "rows": rows,
        "absent": absent,
        "ratios": speed.ratios(rows),
    }
    print(table(result))
    if arguments.out:
        write_json(arguments.out, result)
    keep(path, "speed", session.provider, result)
    return 0


def our_sessions(graphs, arguments):
    """Return an engine's name -> Session: as the provider serves it, and without recording where it records runs."""
    provider, threads = [arguments.provider], arguments.threads
    served = create_session(graphs, provider, threads, cuda_graph=True)
    name = f"{speed.OURS} {precision_of(served)}"
    if not served.cuda_graph:
        return {name: served}
    return {name: served, f"{name}, not recorded": create_session(graphs, provider, threads)}


def precision_of(session):
    """Return what the weights of a provider's graph are: "fp16", or "quantized" on the CPU."""
    return "quantized" if session.provider == "cpu" else "fp16"


class Ours:
    """The runtime's decoder, with a slot for each text.

    Attributes:
        weight_bytes: of the graph and the files that it reads.
        element_bytes: of a value of the cache.
    """

    def __init__(self, session, config, batch):
        self.decoder = Decoder(session, config, slots=batch)
        files = {session.path, *(session.path.parent / name for name, _ in external_data(session.path) if name)}
        self.weight_bytes = sum(file.stat().st_size for file in files)
        cache = next(i for i in session.ort.get_inputs() if i.name.startswith("past_key_values."))
        self.element_bytes = 2 if cache.type == "tensor(float16)" else 4

    def write(self, prompts, new, seed):
        """Return (seconds until all have a first token, seconds in all)."""
        started, tokens, slots = time.perf_counter(), [], list(range(len(prompts)))
        samplers = [Sampler(TEMPERATURE, TOP_K, 1.0, seed + i) for i in slots]
        for slot, prompt in zip(slots, prompts, strict=True):
            self.decoder.prefill(slot, prompt, logits=False)
            tokens += self.choose(samplers[slot : slot + 1])
        first = time.perf_counter() - started
        for _ in range(new - 1):
            self.decoder.step(slots, tokens, logits=False)
            tokens = self.choose(samplers)
        return first, time.perf_counter() - started

    def choose(self, samplers):
        """Draw a token for each text from the graph's candidates, as SharedBatch does."""
        if len(samplers) >= TOGETHER:
            return among_rows(samplers, *self.decoder.candidates)
        return [s.among(*candidates) for s, *candidates in zip(samplers, *self.decoder.candidates, strict=True)]


class Transformers:
    """The stock ``generate`` with a static cache; attributes as those of Ours.

    Args:
        folder: of config.json and model.safetensors.
        device: torch.device.
        compiled: its forward is compiled by torch.compile, on whatever device.
    """

    def __init__(self, folder, device, compiled):
        from transformers import AutoModelForCausalLM

        dtype = peers.weights_type(device)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        self.weight_bytes = sum(p.numel() * p.element_size() for p in self.model.parameters())
        self.element_bytes = dtype.itemsize
        plain = {"cache_implementation": "static", "disable_compile": True}
        self.options = peers.compiled_generation() if compiled else plain

    def write(self, prompts, new, seed):
        """See Ours."""
        return stock_generate(self.model, prompts, new, seed, **self.options)


def measure(engines, batch, arguments, vocab_size, absent):
    """Have every engine write a batch a round, in turn.

    Args:
        engines: name -> engine.
        batch: texts together.
        arguments: with prompt, new and rounds.
        vocab_size: of the tokens that prompts are made of.
        absent: dict to which an engine's fault is added, if it is not ours.

    Returns:
        name -> list of (seconds to the first token, seconds in all), one of each round.
    """
    found = {name: [] for name in engines}
    for r in range(arguments.rounds + 1):  # the first one pays for what is compiled, recorded or allocated
        prompts = [
            [(7 + 31 * i + 101 * r + 17 * text) % vocab_size for i in range(arguments.prompt)] for text in range(batch)
        ]
        for name in list(found):
            try:
                times = engines[name].write(prompts, arguments.new, 1000 * r)
            except Exception as error:  # memory or a compiler may be wanting; the others still count
                if name.startswith(speed.OURS):
                    raise
                absent[f"{name}, {batch} together"] = peers.reason(error)
                del found[name]
                continue
            if r:
                found[name].append(times)
    return found


def step_bytes(engine, config, batch, arguments):
    """Return the bytes that a step reads at least: the weights once, and a cache that is half written."""
    length = arguments.prompt + arguments.new / 2
    values = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"]
    return engine.weight_bytes + batch * length * values * engine.element_bytes


def row(name, batch, new, times, steps_per_second):
    """Return an engine's figures of one batch.

    Args:
        name: of the engine.
        batch, new: texts, and tokens of each.
        times: see measure.
        steps_per_second: that memory allows.
    """
    rate = statistics.median(batch * (new - 1) / (seconds - first) for first, seconds in times)
    return {
        "case": f"batch {batch}",
        "engine": name,
        "per_second": round(rate, 1),
        "first_token_ms": round(1e3 * statistics.median(first for first, _ in times), 2),
        "bandwidth_share": round(rate / batch / steps_per_second, 4),
    }


def line(r):
    """Return a row of the table as text."""
    return (
        f"{r['case']:12}{r['engine']:28}{r['per_second']:12.0f}{r['first_token_ms']:12.1f}{r['bandwidth_share']:14.1%}"
    )


def table(result):
    """Return the figures as text."""
    versions = ", ".join(map(" ".join, result["versions"].items()))
    lines = [
        f"{result['device']}: {result['prompt_tokens']} + {result['new_tokens']} tokens, memory copies "
        f"{result['bandwidth_bytes_per_second'] / 1e9:.1f} GB/s, {versions}",
        f"{'':12}{'engine':28}{'tokens/s':>12}{'first, ms':>12}{'of bandwidth':>14}",
    ]
    lines += map(line, result["rows"])
    lines += [f"{case}: ours is {r['ratio']:.2f} times {r['best_peer']}" for case, r in result["ratios"].items()]
    return "\n".join([*lines, *(f"absent: {name}: {reason}" for name, reason in result["absent"].items())])
