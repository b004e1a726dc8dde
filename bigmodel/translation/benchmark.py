r"""How fast sentences are translated, beside other engines on the same weights, in turn.

    python -m bigmodel benchmark translation --model export/artifacts/en-de \
        --file DATA/en-de.multi30k.test_2016_flickr.tsv.xz

``transformers`` runs in float32; CTranslate2 in int8, where it is installed (pip install ctranslate2), converted by its
own converter. Every engine translates the same sentences, one at a time and 16 at a time, greedily and with five
beams, in this process and in turn, so that a change of the machine's speed meets all alike. Rates are sentences per
CPU second. The translations of the float32 graphs are compared with those of transformers.

With ``--provider cuda`` ours is that provider's graphs; transformers has the device's 16-bit weights, plain and with a
static cache and torch.compile, and CTranslate2 runs there, too. Rates are then sentences per second of the clock.
"""

import argparse
import math
import shutil
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from bigmodel.config import read_json, write_json
from bigmodel.errors import ConfigError, DataError
from bigmodel.evaluation import speed
from bigmodel.evaluation.results import keep
from bigmodel.runtime.engines import check_least
from bigmodel.training import peers
from bigmodel.training.sources import read_rows
from bigmodel.translation.beam_search import beam_search
from bigmodel.translation.data import COLUMNS
from bigmodel.translation.runtime import Translator

BATCHES, BEAMS = (1, 16), (1, 5)  # sentences together
SHAPE = 32


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``benchmark translation``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder of a translator")
    parser.add_argument("--file", type=Path, required=True, help="sentence pairs; the first column is translated")
    parser.add_argument("--direction", help="such as en-de; default: the model's first")
    parser.add_argument("--sentences", type=int, default=200, help="so many (default 200)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each engine translates all (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="of every engine (default 1)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    speed.add_provider(parser, BATCHES)


def run(arguments):
    """Run the comparison, print its table, write its JSON, and return 0."""
    check_least(arguments, sentences=1, rounds=1, threads=1)
    provider = arguments.provider or "cpu"
    translator = Translator.from_pretrained(arguments.model, providers=[provider], threads=arguments.threads)
    device = peers.matching_device(provider)
    direction = tuple(arguments.direction.split("-")) if arguments.direction else translator.directions[0]
    if direction not in translator.directions:
        raise ConfigError(f"--direction: the model translates {', '.join('-'.join(d) for d in translator.directions)}")
    texts = [row[0] for row, _ in zip(read_rows(arguments.file, COLUMNS), range(arguments.sentences), strict=False)]
    if not texts:
        raise DataError(f"{arguments.file} holds no sentence")
    sources = [translator.source_ids(text, direction) for text in texts]
    with tempfile.TemporaryDirectory() as work:
        open_ones = open_on_provider if arguments.provider else open_engines
        engines, absent = open_ones(translator, Path(work), arguments.threads, device)
        cases = [(batch, beams) for beams in BEAMS for batch in arguments.batch]
        rows, outputs = measure(engines, sources, arguments.rounds, cases, absent)
    exact = [name for name in engines if name.startswith(speed.OURS)][-1]
    equal = {
        f"batch {b}, beams {k}": sum(a == c for a, c in zip(outputs[exact, b, k], theirs, strict=True))
        for (name, b, k), theirs in outputs.items()
        if name.startswith("transformers fp")
    }
    result = {
        **speed.about(arguments.threads),
        **peers.surroundings(device),
        "sentences": len(texts),
        "rounds": arguments.rounds,
        "rows": rows,
        "equal_to_transformers": equal,
        "absent": absent,
    }
    print(table(result, "sentences_per_second" if arguments.provider else "sentences_per_cpu_second"))
    if arguments.out:
        write_json(arguments.out, result)
    if arguments.provider:
        rates = [{"case": _case(r), "engine": r["engine"], "per_second": r["sentences_per_second"]} for r in rows]
        figures = {**result, "unit": "sentences", "rows": rates, "ratios": speed.ratios(rates)}
        keep(arguments.model, "speed", provider, figures)
    return 0


class Ours:
    """The graphs of a model folder, through beam search.

    Args:
        model: decoding.EncoderDecoder.
        num_hypotheses: 1, as it is served, or None, as transformers searches.
    """

    def __init__(self, model, num_hypotheses=None):
        self.model, self.num_hypotheses = model, num_hypotheses

    def translate(self, sources, num_beams):
        """Return the ids of the best translation of each source."""
        limits = [_limit(max(sources, key=len))] * len(sources)
        hypotheses = self.model.start(sources, num_beams)
        found = beam_search(hypotheses, end=self.model.end, limits=limits, num_hypotheses=self.num_hypotheses)
        return [best.ids for best, *_ in found]


class Transformers:
    """The stock ``generate`` of transformers on a device, with its weights in the device's type.

    Args:
        folder, config, threads, device: of the model and its running.
        compiled: with a static cache and its forward compiled, once for each SHAPE tokens of a source.
    """

    def __init__(self, folder, config, threads, device, compiled=False):
        import torch
        from transformers import T5ForConditionalGeneration

        torch.set_num_threads(threads)
        self.torch, self.end, self.device = torch, config["eos_token_id"], device
        dtype = peers.weights_type(device)
        self.model = T5ForConditionalGeneration.from_pretrained(folder, dtype=dtype).to(device).eval()
        self.options, self.shape = (peers.compiled_generation(), SHAPE) if compiled else ({}, 1)

    def translate(self, sources, num_beams):
        """See Ours."""
        if self.options and num_beams > 1:
            raise ConfigError("transformers compiles no beam search")
        torch, length = self.torch, math.ceil(max(map(len, sources)) / self.shape) * self.shape
        ids = torch.tensor([source + [self.end] * (length - len(source)) for source in sources])
        mask = torch.arange(length) < torch.tensor([[len(source)] for source in sources])
        options = {"num_beams": num_beams, "do_sample": False, "max_new_tokens": _limit(range(length))}
        with torch.inference_mode():
            ids, mask = ids.to(self.device), mask.long().to(self.device)
            rows = self.model.generate(ids, attention_mask=mask, length_penalty=1.0, **options, **self.options)
        return [[i for i in row[1:].tolist() if i != self.end] for row in rows]


class CTranslate2:
    """CTranslate2 on what its own converter makes of the weights: int8 on the CPU, float16 on a GPU."""

    def __init__(self, folder, work, threads, device):
        import ctranslate2

        shutil.copytree(folder, work / "t5", ignore=shutil.ignore_patterns("*.onnx"))
        settings = read_json(work / "t5/tokenizer_config.json")
        end = settings["eos_token"]  # the converter wants these two named
        kind = "float16" if device.type == "cuda" else "int8"
        write_json(work / "t5/tokenizer_config.json", {**settings, "pad_token": end, "unk_token": end})
        ctranslate2.converters.TransformersConverter(str(work / "t5")).convert(str(work / "ct2"), quantization=kind)
        self.model = ctranslate2.Translator(
            str(work / "ct2"), device=device.type, compute_type=kind, inter_threads=1, intra_threads=threads
        )
        vocabulary = read_json(work / "ct2/shared_vocabulary.json")
        self.tokens, self.ids = vocabulary, {token: i for i, token in enumerate(vocabulary)}

    def translate(self, sources, num_beams):
        """See Ours."""
        found = self.model.translate_batch(
            [[self.tokens[i] for i in source] for source in sources],
            beam_size=num_beams,
            length_penalty=1.0,
            max_batch_size=len(sources),
            max_decoding_length=_limit(max(sources, key=len)),
        )
        return [[self.ids[token] for token in result.hypotheses[0]] for result in found]


def _limit(source):
    return 2 * len(source) + 10


def open_engines(translator, work, threads, device):
    """Return name -> engine, and name -> why it is absent.

    Args:
        translator: Translator.
        work: an empty folder, for what engines need in a form of their own.
        threads: of each engine.
        device: torch.device of the peers.
    """
    from export.to_onnx import export

    folder, config = translator.folder.path, translator.folder.config
    export(folder, work / "fp32", "fp32")
    exact = Translator.from_pretrained(work / "fp32", providers=["cpu"], threads=threads)
    engines, absent = {"bigmodel int8": Ours(translator.model, 1), "bigmodel fp32": Ours(exact.model)}, {}
    for name, module, make in (
        ("transformers fp32", "transformers", lambda: Transformers(folder, config, threads, device)),
        ("ctranslate2 int8", "ctranslate2", lambda: CTranslate2(folder, work, threads, device)),
    ):
        if find_spec(module):
            engines[name] = make()
        else:
            absent[name] = "not installed"
    return engines, absent


def open_on_provider(translator, work, threads, device):
    """Return name -> engine on a provider and its device, and name -> why it is absent; see open_engines."""
    folder, config = translator.folder.path, translator.folder.config
    weights = peers.precision(peers.weights_type(device))
    kind = "int8" if translator.provider == "cpu" else "fp16"
    engines, absent = {f"{speed.OURS} {kind}": Ours(translator.model, 1)}, {}
    for name, make in (
        (f"transformers {weights}", lambda: Transformers(folder, config, threads, device)),
        (f"transformers compiled {weights}", lambda: Transformers(folder, config, threads, device, compiled=True)),
        (f"ctranslate2 {kind}", lambda: CTranslate2(folder, work, threads, device)),
    ):
        try:
            engine = make()
            engine.translate([[config["eos_token_id"]]], 1)  # a compiler or a kernel may be wanting
            engines[name] = engine
        except Exception as error:
            absent[name] = peers.reason(error)
    return engines, absent


def _case(row):
    search = "greedy" if row["beams"] == 1 else f"beam {row['beams']}"
    return f"batch {row['batch']}, {search}"


def measure(engines, sources, rounds, cases, absent):
    """Have every engine translate all sources in every case (sentences together, beams), in turn.

    A peer's fault in a case is added to ``absent``, a dict.

    Returns:
        rows: list of dicts: engine, batch, beams, sentences_per_cpu_second and sentences_per_second, medians of rounds.
        outputs: (engine, batch, beams) -> list of ids, in the order of ``sources``.
    """
    rows, outputs = [], {}
    for size, beams in cases:
        times = {name: [] for name in engines}
        for number in range(rounds + 1):  # the first one pays for allocations
            for name in list(times):
                wall, cpu = time.perf_counter(), time.process_time()
                try:
                    outputs[name, size, beams] = _translate_all(engines[name], sources, size, beams)
                except Exception as error:  # memory or a compiler may be wanting; the others still count
                    if name.startswith(speed.OURS):
                        raise
                    absent[f"{name}, {_case({'batch': size, 'beams': beams})}"] = peers.reason(error)
                    del times[name]
                    continue
                if number:
                    times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
        for name, pairs in times.items():
            cpu, wall = (len(sources) / statistics.median(column) for column in zip(*pairs, strict=True))
            values = {"sentences_per_cpu_second": round(cpu, 2), "sentences_per_second": round(wall, 2)}
            rows.append({"engine": name, "batch": size, "beams": beams, **values})
            # at once: on a GPU one may not have the time for all cases
            print(f"{name}, {_case(rows[-1])}: {wall:.1f} sentences/s", file=sys.stderr)
    return rows, outputs


def _translate_all(engine, sources, size, beams):
    """Return the translations of sources, in their order; ``size`` of about one length are translated together."""
    order, found = sorted(range(len(sources)), key=lambda i: len(sources[i])), [None] * len(sources)
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        for i, ids in zip(batch, engine.translate([sources[i] for i in batch], beams), strict=True):
            found[i] = ids
    return found


def table(result, unit):
    """Return the figures as text, in a unit that the rows have, and our served graphs against each peer."""
    rates = {(r["engine"], _case(r)): r[unit] for r in result["rows"]}
    engines, cases = (list(dict.fromkeys(keys)) for keys in zip(*rates, strict=True))
    lines = [f"{result['sentences']} sentences, {result['threads']} thread(s): {unit.replace('_', ' ')}"]
    lines.append(f"{'':30}" + "".join(f"{case:>18}" for case in cases))
    rate = lambda name, case: rates.get((name, case), math.nan)  # noqa: E731
    lines += [f"{name:30}" + "".join(f"{rate(name, case):18.1f}" for case in cases) for name in engines]
    for peer in (name for name in engines if not name.startswith(speed.OURS)):
        ratios = "".join(f"{rate(engines[0], case) / rate(peer, case):18.2f}" for case in cases)
        lines.append(f"{engines[0].split()[1] + ' / ' + peer.rpartition(' ')[0]:30}{ratios}")
    lines += [
        f"{case}: {n} of {result['sentences']} equal transformers'"
        for case, n in result["equal_to_transformers"].items()
    ]
    lines += [f"absent: {name}: {reason}" for name, reason in result["absent"].items()]
    return "\n".join(lines)
