r"""How fast sentences are translated, beside other engines on the same weights, in turn.

    python -m bigmodel benchmark translation --model export/artifacts/en-de \
        --file DATA/en-de.multi30k.test_2016_flickr.tsv.xz

``transformers`` runs in float32; CTranslate2 in int8, where it is installed (pip install ctranslate2), converted by its
own converter. Every engine translates the same sentences, one at a time and 16 at a time, greedily and with five
beams, in this process and in turn, so that a change of the machine's speed meets all alike. Rates are sentences per
CPU second. The translations of the float32 graphs are compared with those of transformers.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bigmodel.config import read_json, write_json
from bigmodel.errors import ConfigError
from bigmodel.runtime.session import create_session
from bigmodel.training.sources import read_rows
from bigmodel.translation.beam_search import beam_search
from bigmodel.translation.data import COLUMNS
from bigmodel.translation.decoding import EncoderDecoder
from bigmodel.translation.runtime import Translator

CASES = ((1, 1), (16, 1), (1, 5), (16, 5))  # sentences together, beams


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the options of ``benchmark translation``."""
    parser.add_argument("--model", type=Path, required=True, help="model folder of a translator")
    parser.add_argument("--file", type=Path, required=True, help="sentence pairs; the first column is translated")
    parser.add_argument("--direction", help="such as en-de; default: the model's first")
    parser.add_argument("--sentences", type=int, default=200, help="so many (default 200)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each engine translates all (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="of every engine (default 1)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")


def run(arguments):
    """Run the comparison, print its table, write its JSON, and return 0."""
    translator = Translator.from_pretrained(arguments.model, providers=["cpu"], threads=arguments.threads)
    direction = tuple(arguments.direction.split("-")) if arguments.direction else translator.directions[0]
    if direction not in translator.directions:
        raise ConfigError(f"--direction: the model translates {', '.join('-'.join(d) for d in translator.directions)}")
    texts = [row[0] for row, _ in zip(read_rows(arguments.file, COLUMNS), range(arguments.sentences), strict=False)]
    sources = [translator.source_ids(text, direction) for text in texts]
    with tempfile.TemporaryDirectory() as work:
        engines, absent = open_engines(arguments.model, Path(work), arguments.threads)
        rows, outputs = measure(engines, sources, arguments.rounds)
    equal = {
        f"batch {b}, beams {k}": sum(a == c for a, c in zip(outputs["bigmodel fp32", b, k], theirs, strict=True))
        for (name, b, k), theirs in outputs.items()
        if name == "transformers fp32"
    }
    result = {
        "command": "python -m bigmodel " + " ".join(sys.argv[1:]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "sentences": len(texts),
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "rows": rows,
        "equal_to_transformers": equal,
        "absent": absent,
    }
    print(table(result))
    if arguments.out:
        write_json(arguments.out, result)
    return 0


class Ours:
    """The graphs of a model folder, through beam search.

    Args:
        folder, config, threads: as for the others.
        num_hypotheses: 1, as it is served, or None, as transformers searches.
    """

    def __init__(self, folder, config, threads, num_hypotheses=None):
        self.num_hypotheses = num_hypotheses
        sessions = (
            create_session(folder / f"onnx/{part}_model_quantized.onnx", ["cpu"], threads)
            for part in ("encoder", "decoder")
        )
        self.model = EncoderDecoder(*sessions, config)

    def translate(self, sources, num_beams):
        """Return the ids of the best translation of each source."""
        limits = [_limit(max(sources, key=len))] * len(sources)
        hypotheses = self.model.start(sources, num_beams)
        found = beam_search(hypotheses, end=self.model.end, limits=limits, num_hypotheses=self.num_hypotheses)
        return [best.ids for best, *_ in found]


class Transformers:
    """The stock ``generate`` of transformers, float32."""

    def __init__(self, folder, config, threads):
        import torch
        from transformers import T5ForConditionalGeneration

        torch.set_num_threads(threads)
        self.torch, self.end = torch, config["eos_token_id"]
        self.model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    def translate(self, sources, num_beams):
        """See Ours."""
        torch, longest = self.torch, max(map(len, sources))
        ids = torch.tensor([source + [self.end] * (longest - len(source)) for source in sources])
        mask = torch.arange(longest) < torch.tensor([[len(source)] for source in sources])
        options = {"num_beams": num_beams, "do_sample": False, "max_new_tokens": _limit(max(sources, key=len))}
        with torch.inference_mode():
            rows = self.model.generate(ids, attention_mask=mask.long(), length_penalty=1.0, **options)
        return [[i for i in row[1:].tolist() if i != self.end] for row in rows]


class CTranslate2:
    """CTranslate2, int8, on what its own converter makes of the weights."""

    def __init__(self, folder, work, config, threads):
        import ctranslate2

        shutil.copytree(folder, work / "t5", ignore=shutil.ignore_patterns("*.onnx"))
        settings = read_json(work / "t5/tokenizer_config.json")
        end = settings["eos_token"]  # the converter wants these two named
        write_json(work / "t5/tokenizer_config.json", {**settings, "pad_token": end, "unk_token": end})
        ctranslate2.converters.TransformersConverter(str(work / "t5")).convert(str(work / "ct2"), quantization="int8")
        self.model = ctranslate2.Translator(
            str(work / "ct2"), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
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


def open_engines(folder, work, threads):
    """Return name -> engine, and name -> why it is absent.

    Args:
        folder: model folder.
        work: an empty folder, for what engines need in a form of their own.
        threads: of each engine.
    """
    from export.to_onnx import export

    config = read_json(folder / "config.json")
    export(folder, work / "fp32", "fp32")
    engines = {"bigmodel int8": Ours(folder, config, threads, 1), "bigmodel fp32": Ours(work / "fp32", config, threads)}
    absent = {}
    for name, module, make in (
        ("transformers fp32", "transformers", lambda: Transformers(folder, config, threads)),
        ("ctranslate2 int8", "ctranslate2", lambda: CTranslate2(folder, work, config, threads)),
    ):
        if find_spec(module):
            engines[name] = make()
        else:
            absent[name] = "not installed"
    return engines, absent


def measure(engines, sources, rounds):
    """Have every engine translate all sources in every case, in turn.

    Returns:
        rows: list of dicts: engine, batch, beams, sentences_per_cpu_second and sentences_per_second, medians of rounds.
        outputs: (engine, batch, beams) -> list of ids, in the order of ``sources``.
    """
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    rows, outputs = [], {}
    for size, beams in CASES:
        times = {name: [] for name in engines}
        for number in range(rounds + 1):  # the first one pays for allocations
            for name, engine in engines.items():
                wall, cpu, found = time.perf_counter(), time.process_time(), [None] * len(sources)
                for start in range(0, len(order), size):
                    batch = order[start : start + size]
                    for i, ids in zip(batch, engine.translate([sources[i] for i in batch], beams), strict=True):
                        found[i] = ids
                outputs[name, size, beams] = found
                if number:
                    times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
        for name, pairs in times.items():
            cpu, wall = (len(sources) / statistics.median(column) for column in zip(*pairs, strict=True))
            values = {"sentences_per_cpu_second": round(cpu, 2), "sentences_per_second": round(wall, 2)}
            rows.append({"engine": name, "batch": size, "beams": beams, **values})
    return rows, outputs


def table(result):
    """Return the figures as text: sentences per CPU second, and ours against each peer."""
    rates = {(r["engine"], r["batch"], r["beams"]): r["sentences_per_cpu_second"] for r in result["rows"]}
    head = [f"batch {b}, {'greedy' if k == 1 else f'beam {k}'}" for b, k in CASES]
    lines = [f"{result['sentences']} sentences, {result['threads']} thread(s): sentences per CPU second"]
    lines.append(f"{'':20}" + "".join(f"{h:>18}" for h in head))
    engines = list(dict.fromkeys(r["engine"] for r in result["rows"]))
    lines += [f"{name:20}" + "".join(f"{rates[name, b, k]:18.1f}" for b, k in CASES) for name in engines]
    for peer in engines[2:]:
        ratios = "".join(f"{rates['bigmodel int8', b, k] / rates[peer, b, k]:18.2f}" for b, k in CASES)
        lines.append(f"{'int8 / ' + peer.split()[0]:20}{ratios}")
    lines += [
        f"{case}: {n} of {result['sentences']} equal transformers'"
        for case, n in result["equal_to_transformers"].items()
    ]
    lines += [f"absent: {name}: {reason}" for name, reason in result["absent"].items()]
    return "\n".join(lines)
