"""What an image generator's card says; see the package."""

from bigmodel.evaluation.notes import cell, counted, engine_name, engine_order, grouped, quoted

REAL, SHARE = "_of_real", "_share_of_real"
FIGURES = {
    "style_right": "style judged right",
    "thing_right": "thing judged right",
    "thing_and_style_right": "thing and style judged right",
    "retrieved_first": "its caption found first among {candidates}",
    "tone_right": "skin tone judged right, of six",
    "things_and_relation_right": "both things and the relation judged right",
    "things_right": "both things judged right, wherever they are",
    "copies": "copies: within {threshold} grey levels of a picture of the training",
    "frechet_distance": "Fréchet distance to the training's pictures",
}

LIMITS = {
    "emoji": (
        "It draws emoji of {size} × {size} pixels, in five styles, and nothing else: no photograph, no text, no scene "
        "of more than three things side by side. It knows the things of its captions by their names; words that no "
        "caption had are ignored, and the page says which.",
        "A new name whose words it knows is often drawn; of one without a word of the captions something else is: "
        "*test_name* in the table, and the last rows of the samples. Only the {things} things that were composed in "
        "the training are set beside each other on a coloured ground; left, right, above and below are all the "
        "relations that it knows, and it cannot count beyond three.",
        "People and flags look as the five sets draw them, with what these leave out and take for granted.",
    ),
    "other": (
        "It draws pictures of {size} × {size} pixels like those that it was trained on. Of a name that it has never "
        "seen it draws something else.",
    ),
}
CHINESE = (
    "Chinese names of things are those of Unicode's CLDR, as the Python package `emoji` has them; relations, styles "
    "and grounds have one fixed wording each. It reads these, not free Chinese text."
)
SHARED = "It is a demonstration; do not pass a drawing off as somebody's own work."
EXPLAINED = (
    "There is no judge but those that are trained here, on real pictures alone: a classifier of thing and style, a "
    "matcher of pictures and captions, and a judge of compositions. *Real pictures* are what the same judges say of "
    "pictures that they have not seen, and the share in brackets is what drawings reach of that. For captions of the "
    "training, the real pictures are those that were kept from training and judges alike. A caption is looked for "
    "among others of its set; where that has fewer than a hundred, captions of the training fill it up.",
    "*test_style*: things never shown in this style; *test_tone*: in this skin tone; *test_name*: never shown at all. "
    "*Scenes* are two things in a relation, as the training may compose them, or, *held out*, as it never "
    "composes two: some pairs in no relation, others not in this one. The judge of compositions has seen all of them.",
    "A thing has one picture in each style, so that a good drawing of a caption of the training is near that picture. "
    "A copy is as near as only one in twenty of the real pictures that were kept from the training is to any "
    "picture of it. The Fréchet distance is of the classifier's features; few pictures make it larger, and both are of "
    "equally many.",
)
COPIED = (
    "Of {count:,} drawings for {dataset}, {value:.1%} are within {threshold:g} grey levels of a picture of the "
    "training, as {reference:.1%} of real pictures are that the training has not seen."
)

PUBLISHED = (
    "The training's pictures are published sets of emoji, each under the licence that is named above, some of which "
    "ask for attribution: what the model draws for a name of the training resembles them, and is to be treated as they "
    "are. No private data is known to be in them."
)
LIBRARY = "bigmodel"  # that loads the folder
LOSS = "mean squared error of the velocity"
TOKENS = "pictures"
VALIDATION = "mean squared error of the velocity, on pictures and compositions kept from the training"

FILES = {
    "model.safetensors": "the weights, 16 bit",
    "onnx/text_encoder_quantized.onnx": "the captions' encoder that the CPU runs, quantised, self-contained",
    "onnx/transformer_quantized.onnx": "the denoiser that the CPU runs, quantised, self-contained",
    "text_encoder_fp16.onnx": "the captions' encoder that CUDA runs; reads model.safetensors beside it",
    "transformer_fp16.onnx": "the denoiser that CUDA runs; reads model.safetensors beside it",
    "emoji.json": "the name of each emoji that a prompt may hold",
}

USAGE = """
With BigModel, by ONNX Runtime on the CPU or a GPU, from the repository's folder:

```python
from bigmodel.text_to_image.runtime import ImageGenerator

model = ImageGenerator.from_pretrained("export/artifacts/{name}")
for seed, picture in enumerate(model.generate({prompt}, num_images=2, seed=1), 1):
    picture.save(f"picture-{{seed}}.png")
```

The text encoder is run once for a prompt and once for the empty one; the transformer takes noisy pictures (`sample`), a
`timestep` from 0 for noise to 1, and what the encoder gave, and says which pictures they are `expected` to be. No stock
class of transformers or diffusers has this shape.
"""
PROMPT = "cat face, noto style"


def shape(config, size):
    """Return the model's shape; ``size`` is its parameters in words, or nothing."""
    transformer, side, patch = config["transformer"], config["sample_size"], config["patch_size"]
    return (
        f"A diffusion transformer in pixel space, trained from scratch by flow matching: {size}"
        f"{transformer['num_hidden_layers']} layers, width {transformer['hidden_size']}, "
        f"{transformer['num_attention_heads']} heads, pictures of {side} × {side} in patches of {patch} × {patch}. "
        f"By cross-attention it reads captions of up to {config['max_tokens'] - 1} words, or Chinese characters, "
        f"which an encoder of {config['text']['num_hidden_layers']} layers prepares that was trained with it."
    )


def samples(shown):
    """Return the grid of drawings, and the caption of each of its rows."""
    blocks = []
    for sample in shown:
        rows, seeds = sample["rows"], sample["seeds"]
        lines = [f"| {i} | {cell(caption)} | {dataset} |" for i, (dataset, caption) in enumerate(rows, 1)]
        blocks += [
            f"Each row has a caption, each column a seed, {seeds[0]} to {seeds[-1]}; enlarged, each pixel as it is.",
            f"![Drawings: {len(rows)} captions, {len(seeds)} seeds]({sample['file']})",
            "\n".join(["| row | caption | of |", "| --- | --- | --- |", *lines]),
        ]
    return blocks


def table(entries, engines):
    """Return a row for each data set and figure: real pictures, and a column for each engine with its share of them."""
    rows = grouped(entries)
    lines = ["| on | of | figure | real pictures | " + " | ".join(map(engine_name, engines)) + " |"]
    lines.append("|" + " --- |" * (4 + len(engines)))
    for (dataset, name), cells in rows.items():
        if name.endswith((REAL, SHARE)):
            continue
        real, shares = rows.get((dataset, name + REAL), {}), rows.get((dataset, name + SHARE), {})
        first = min(cells.values(), key=lambda e: engine_order(e["engine"]))
        figure = FIGURES.get(name, name).format_map(_Known(first.get("settings") or {}))
        reference = " / ".join(dict.fromkeys(_written(real[e]) for e in engines if e in real))
        values = (
            _written(cells[e]) + (f" ({shares[e]['value']:.0%})" if e in shares else "") if e in cells else ""
            for e in engines
        )
        lines.append(f"| {dataset} | {counted(cells, engines)} | {figure} | {reference} | {' | '.join(values)} |")
    return lines


class _Known(dict):
    """Settings that leave what they do not have as a dash."""

    def __missing__(self, key):
        return "–"


def _written(e):
    return f"{e['value']:.1%}" if e["unit"] == "share" else f"{e['value']:.2f}"


def explanations(entries):
    """Return what is to be known of the figures."""
    return list(EXPLAINED)


def limits(card, config):
    """Return what the model cannot do."""
    words = {"size": config["sample_size"], "things": len(card.get("things", ()))}
    texts = [text.format_map(words) for text in LIMITS.get(card["name"], LIMITS["other"])]
    return [*texts, *([CHINESE] if "zh" in card["languages"] else []), SHARED]


def memorisation(metrics):
    """Return how many drawings are as near to a picture of the training as a copy."""
    results = sorted(metrics["results"], key=lambda e: engine_order(e["engine"]), reverse=True)
    found, parts = {(e["dataset"], e["name"]): e for e in results}, []
    for (dataset, name), e in found.items():
        if name == "copies" and dataset.endswith(".train") and (real := found.get((dataset, name + REAL))):
            threshold = e["settings"]["threshold"]
            values = {"value": e["value"], "reference": real["value"], "threshold": threshold}
            parts.append(COPIED.format(count=e["count"], dataset=dataset, **values))
    return [" ".join(parts) or "How near drawings are to pictures of the training was not measured for this model."]


def usage(card, metrics):
    """Return how to load the model here and in ONNX Runtime."""
    shown = [sample["rows"][0][1] for sample in metrics["samples"] if sample["rows"]]
    return USAGE.format(name=card["name"], prompt=quoted((shown or [PROMPT])[0]))
