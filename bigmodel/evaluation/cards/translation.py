"""What a translator's card says; see the package."""

from bigmodel.evaluation.notes import cell, counted, engine_name, grouped, quoted

FIGURES = {"bleu": "BLEU", "bleu_lowercased": "BLEU, lower-cased", "chrf": "chrF"}
COPY = "_of_copy"  # ends the name of a figure's floor

SCORES = (
    "Scores go from 0 to 100. A line of a test set is translated as one sentence. *Source copied* is the floor: what "
    "a program scores that gives the source back, by the names, numbers and marks that both languages share."
)
CHOSEN = (
    "A set whose name ends in `val` is the one by which the weights were chosen, which flatters them a little there."
)

# by the model's name
LIMITS = {
    "en-de": (
        "It has read captions of pictures and nothing else: short sentences in the present tense that say what can be "
        "seen. It knows neither news nor law, no speech, no questions and no idioms; words that no caption has come "
        "out wrong.",
        "Its training text is free for research use; use the model likewise.",
    ),
    "en-zh": (
        "It has read captions of pictures, everyday sentences and a little software documentation, the last in part. "
        "Of what is unlike them, such as news or an encyclopaedia, it keeps some words and loses the sense: the test "
        "sets of both kinds show how much.",
        "It writes simplified characters. Names of people and places are often wrong.",
    ),
    "lzh-zh": (
        "It has read classical prose, histories above all, beside modern renderings, of which some are loose. It is "
        "meant neither for verse nor for modern speech, and what a commentary would say of a passage it does not know.",
        "A passage has many right renderings: the scores compare with one translator's words.",
    ),
    "other": (
        "It translates what is like its training text; of what is unlike it, it keeps some words and loses the sense.",
    ),
}
SENTENCES = (
    "It sees one sentence at a time, so that it does not know whom a pronoun means; a sentence of more than {longest} "
    "tokens is translated in parts. It may leave words out or make some up, and sounds as sure then: it is a "
    "demonstration, not for what a person's health, money or rights depend on.",
    "Numbers, addresses, code in backticks and emoji do not pass through the model: BigModel puts marks, `<|0|>` to "
    "`<|9|>`, in their place and puts them back afterwards, so that they stay as they are, decimal marks included.",
)

PUBLISHED = "The training text is published; no private data is known to be in it."
MEMORISATION = (
    "A translator writes what its source says, but may put in phrases of its training text; how often it does was not "
    "measured. This software keeps no text, and a file for two hours at most."
)
LIBRARY = "transformers"  # that loads the folder
LOSS = "nats a token, of smoothed labels"
TOKENS = "tokens of both sides, padding included, at most"
VALIDATION = "nats a token, labels not smoothed"

FILES = {
    "model.safetensors": "the weights, 16 bit, under the names of `T5ForConditionalGeneration`",
    "onnx/encoder_model_quantized.onnx": "the encoder that the CPU runs, quantised, self-contained",
    "onnx/decoder_model_quantized.onnx": "the decoder that the CPU runs, one step of all hypotheses; likewise",
    "encoder_model_fp16.onnx": "the encoder that CUDA runs; reads model.safetensors beside it",
    "decoder_model_fp16.onnx": "the decoder that CUDA runs; likewise",
}

USAGE = """
With BigModel, by ONNX Runtime on the CPU or a GPU, from the repository's folder:

```python
from bigmodel.translation.runtime import Translator

model = Translator.from_pretrained("export/artifacts/{name}")
print(model.translate({text}, source="{source}", target="{target}").text)
```

With transformers, where a source begins with its direction and ends as a translation begins:

```python
from transformers import AutoTokenizer, T5ForConditionalGeneration

folder = "export/artifacts/{name}"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = T5ForConditionalGeneration.from_pretrained(folder)
ids = tokenizer({marked}, return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**ids)[0], skip_special_tokens=True))
```

The encoder's graph takes `input_ids` and `attention_mask` and gives `present.*.encoder.*`, the keys and values of
the decoder's cross-attention. A step of the decoder's graph takes these as `past_key_values.*.encoder.*`, the same
mask, the cache `past_key_values.*.decoder.*` of all hypotheses' tokens in order, and
`input_ids` (sentences, beams), the last token of each hypothesis;
`ancestors` (sentences or 1, 1, beams, total), 0 at a hypothesis' own tokens and -10000 at those of others;
`distances` (total), the steps from each token to the new one; and `num_candidates`. It gives
`top_log_probs` and `top_ids`, so many next tokens each, best first, the longer cache as `present.*.decoder.*`, and
`cross_query.*`, whose products with the encoder's keys say where each token looked.
"""


def shape(config, size):
    """Return the model's shape; ``size`` is its parameters in words, or nothing."""
    return (
        f"An encoder-decoder transformer, trained from scratch: {size}{config['num_layers']} encoder and "
        f"{config['num_decoder_layers']} decoder layers, width {config['d_model']}, {config['num_heads']} heads, a "
        f"vocabulary of {config['vocab_size']:,} tokens, sentences of up to {config['n_positions']} tokens. Relative "
        f"positions, RMSNorm, SwiGLU, one embedding for both sides and the output: the weights load in the stock "
        f"`T5ForConditionalGeneration`."
    )


def samples(shown):
    """Return a table for each direction: source, translation, reference."""
    tables = {}
    for sample in shown:
        head = f"{sample['direction'].replace('-', ' → ')}, the first of {sample['dataset']}:"
        cells = (cell(sample[name]) for name in ("source", "translation", "reference"))
        tables.setdefault(head, []).append(f"| {' | '.join(cells)} |")
    columns = "| source | translation | reference |\n| --- | --- | --- |"
    return ["\n".join([f"{head}\n", columns, *rows]) for head, rows in tables.items()]


def table(entries, engines):
    """Return a row for each test set, direction and figure: its floor, then a column for each engine."""
    rows = grouped(entries)
    lines = ["| | on | of | figure | source copied | " + " | ".join(map(engine_name, engines)) + " |"]
    lines.append("|" + " --- |" * (5 + len(engines)))
    for (dataset, name), cells in rows.items():
        if name.endswith(COPY):
            continue
        direction, _, test = dataset.partition(" ")
        copied = rows.get((dataset, name + COPY), {})
        floor = next((copied[e] for e in engines if e in copied), None)  # the same of all, on the same sentences
        found = (floor, *(cells.get(e) for e in engines))
        values = " | ".join(f"{e['value']:.1f}" if e else "" for e in found)
        figure = FIGURES.get(name, name)
        lines.append(f"| {direction} | {test} | {counted(cells, engines)} | {figure} | {values} |")
    return lines


def explanations(entries):
    """Return what is to be known of the figures, with the signatures of sacreBLEU."""
    signatures = {}
    for e in entries:
        if (name := e["name"]) in FIGURES:
            targets = signatures.setdefault((FIGURES[name], e["settings"]["signature"]), [])
            targets.append(e["dataset"].partition(" ")[0].rpartition("→")[2])
    spelled = (
        f"{figure} ({', '.join(dict.fromkeys(targets))}) `{signature}`"
        for (figure, signature), targets in signatures.items()
    )
    parts = [SCORES, f"Signatures of sacreBLEU by target: {'; '.join(spelled)}."]
    chosen = any(e["split"] in ("val", "valid") for e in entries)
    return [*parts, CHOSEN] if chosen else parts


def limits(card, config):
    """Return what the model cannot do."""
    longest = config["n_positions"] - 1
    return [*LIMITS.get(card["name"], LIMITS["other"]), *(text.format(longest=longest) for text in SENTENCES)]


def memorisation(metrics):
    """Return what is known of training text that comes out again."""
    return [MEMORISATION]


def usage(card, metrics):
    """Return how to load the model here, in transformers and in ONNX Runtime."""
    direction = card["directions"][0]
    source, target = direction.split("-")
    text = metrics["samples"][0]["source"] if metrics["samples"] else "Two dogs play in the snow."
    marked = quoted(f"<|{direction}|>{text}<|endoftext|>")
    return USAGE.format(name=card["name"], source=source, target=target, text=quoted(text), marked=marked)
