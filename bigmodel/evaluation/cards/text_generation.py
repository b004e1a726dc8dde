"""What a language model's card says; see the package."""

from bigmodel.evaluation.notes import counted, engine_name, engine_order, grouped, quoted

START = "<|endoftext|>"

FIGURES = {
    "bits_per_byte": "bits per byte",
    "nats_per_character": "negative log-likelihood a character",
    "unknown_characters": "characters that the vocabulary lacks",
    "form_share": "poems with the number and length of lines that was asked for",
    "rhyme_rate": "poems whose even lines all rhyme",
    "rhyme_rate_of_real_poems": "held-out real poems whose even lines all rhyme",
    "rhyme_rate_by_chance": "the same poems after their even lines were shuffled",
    "rhyme_ratio": "rhyme rate as a share of the real poems'",
    "repeated_lines": "lines that repeat a line of the same poem",
    "lines_in_training_set": "lines that stand in the training set",
    "lines_of_real_poems_in_training_set": "lines of held-out real poems that stand in the training set",
    "copied_runs": "runs of eight words that stand in the training set",
    "copied_runs_of_held_out_text": "runs of eight words of the held-out text that stand in the training set",
}

EXPLANATIONS = {
    "bits_per_byte": "Bits per byte: every byte of the text as it is in the file, line ends included; each token is "
    "predicted with at least half of the context before it, or all of its document.",
    "nats_per_character": "Negative log-likelihood: natural logarithm; a character that the vocabulary lacks "
    "counts as the unknown token.",
    "rhyme_rate": "Rhyme: the last characters of all even lines share a rhyme of 中华新韵 (支 and 齐 taken "
    "together), medials and tones aside, by any of their modern readings. Poems are asked for in 五绝, 七绝, 五律 "
    "and 七律, equally many of each, with kinds, authors and titles of held-out poems of that form.",
}

# by the model's name
LIMITS = {
    "stories": (
        "It continues a text in the manner of its corpus. It follows no instructions and knows no facts: names, "
        "dates and events are made up. Sentences mostly hold together, a plot does not for long: it sees {context} "
        "tokens at most, and past them goes on from the last {half}.",
        "The corpus is old, and so are its attitudes: the model may repeat prejudices of its time. It is a "
        "demonstration, not for decisions about people, nor for children alone.",
    ),
    "poetry": (
        "It keeps form and rhyme better than sense: lines are plausible one by one, a whole poem seldom has one "
        "thought. The tonal pattern (平仄) and parallelism are neither asked for nor measured. Rhyme is judged by "
        "modern readings, which differ from those of the poets. Its context is {context} tokens.",
        "A poem in a known author's name is an imitation, not a work of that author: say so when you share it.",
    ),
    "other": (
        "It continues a text in the manner of its corpus. It follows no instructions and knows no facts; names, "
        "dates and events are made up. It sees {context} tokens at most, and past them goes on from the last {half}.",
        "It is a demonstration, not for decisions about people.",
    ),
}

PUBLISHED = "The training text is published literature; no private data is known to be in it."
PRIVACY = "A language model can reproduce parts of its training text. This software stores no prompt."
LIBRARY = "transformers"  # that loads the folder
LOSS = "nats a token"
TOKENS = "tokens"
VALIDATION = "in windows without overlap"

# figure, the same of real text, and what it counts
COPIES = (
    ("lines_in_training_set", "lines_of_real_poems_in_training_set", "lines"),
    ("copied_runs", "copied_runs_of_held_out_text", "runs of eight words"),
)

PROMPTS = {"plain": "Once upon a time", "poetry": "<|唐诗|><|五绝|><|author|>李白<|title|>静夜思<|body|>"}

FILES = {
    "model.safetensors": "the weights, 16 bit, under the names of `Qwen3ForCausalLM`",
    "onnx/model_quantized.onnx": "the graph that the CPU runs, quantised, self-contained",
    "model_fp16.onnx": "the graph that CUDA runs; reads model.safetensors beside it",
}

USAGE = """
With BigModel, by ONNX Runtime on the CPU or a GPU, from the repository's folder:

```python
from bigmodel.text_generation.runtime import TextGenerator

model = TextGenerator.from_pretrained("export/artifacts/{name}")
print(model.generate([{prompt}], seed=1)[0])
```

With transformers:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "export/artifacts/{name}"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
ids = tokenizer({text}, return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**ids)[0]))
```

Both graphs take `input_ids`, `seqlens_k` (tokens in a row's cache after the step, minus one),
`total_sequence_length` (the largest of these, plus one), `logits_from` (the first position that
gets logits, from the end: -1) and `past_key_values.*`, whose buffers are also bound to `present.*`.
"""


def shape(config, size):
    """Return the model's shape; ``size`` is its parameters in words, or nothing."""
    return (
        f"A decoder-only transformer, trained from scratch: {size}{config['num_hidden_layers']} layers, width "
        f"{config['hidden_size']}, {config['num_attention_heads']} heads, a vocabulary of {config['vocab_size']:,} "
        f"tokens, a context of {config['max_position_embeddings']} tokens. Rotary positions, RMSNorm, SwiGLU, "
        f"normalised queries and keys: the weights load in the stock `Qwen3ForCausalLM`."
    )


def samples(shown):
    """Return each sample with its seed, prompt and text as one."""
    parts = []
    for sample in shown:
        text = sample["prompt"] + sample["text"]
        fence = "~~~" if "```" in text else "```"
        parts.append(f"Seed {sample['seed']}:\n\n{fence}text\n{text.strip()}\n{fence}")
    return parts


def table(entries, engines):
    """Return a row for each figure, a column for each engine."""
    lines = ["| figure | unit | on | of | " + " | ".join(map(engine_name, engines)) + " |"]
    lines.append("|" + " --- |" * (4 + len(engines)))
    for (dataset, name), cells in grouped(entries).items():
        first, counts = next(iter(cells.values())), counted(cells, engines)
        values = " | ".join(_figure(cells[e]) if e in cells else "" for e in engines)
        lines.append(f"| {FIGURES.get(name, name)} | {first['unit']} | {dataset} | {counts} | {values} |")
    return lines


def explanations(entries):
    """Return what is to be known of the figures that are there."""
    return [EXPLANATIONS[name] for name in dict.fromkeys(e["name"] for e in entries) if name in EXPLANATIONS]


def limits(card, config):
    """Return what the model cannot do."""
    texts = LIMITS.get(card["name"], LIMITS["other"])
    context = config["max_position_embeddings"]
    return [text.format(context=context, half=context // 2) for text in texts]


def memorisation(metrics):
    """Return how much of what the model writes stands in its training set."""
    parts = [PRIVACY]
    found = {e["name"]: e for e in sorted(metrics["results"], key=lambda e: engine_order(e["engine"]), reverse=True)}
    for name, reference, what in COPIES:
        if name in found:
            copied, text = found[name], ""
            if real := found.get(reference):
                text = f"; of those of held-out real text, {_share(real['value'])} do, since writers repeat each other"
            parts.append(
                f"Of {copied['count']:,} sampled {what}, {_share(copied['value'])} stand in the training set{text}."
            )
    if not any(name in found for name, _, _ in COPIES):
        parts.append("How much of a text stands in its training set was not measured for this model.")
    return parts


def usage(card, metrics):
    """Return how to load the model here, in transformers and in ONNX Runtime."""
    prompt = metrics["samples"][0]["prompt"] if metrics["samples"] else PROMPTS[card["format"]]
    return USAGE.format(name=card["name"], prompt=quoted(prompt), text=quoted(START + prompt))


def _figure(values):
    return _share(values["value"]) if values["unit"] == "share" else f"{values['value']:.4f}"


def _share(value):
    return f"{value:.2%}" if 0 < value < 0.001 else f"{value:.1%}"
