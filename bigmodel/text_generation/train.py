"""``python -m bigmodel train text_generation``: corpus -> tokenizer -> weights in a model folder."""

import dataclasses
import math
import os
from pathlib import Path

from bigmodel.config import TransformerConfig, read_json, write_json
from bigmodel.nn.checkpoint import save_pretrained
from bigmodel.text_generation.config import PRESETS, preset
from bigmodel.text_generation.data import load_corpus
from bigmodel.text_generation.facts import corpus_facts, training_facts
from bigmodel.text_generation.model import make_model, total_loss
from bigmodel.training.loop import Trainer
from bigmodel.training.state import load_state


def add_arguments(parser):
    """Add the options of ``train text_generation``."""
    parser.add_argument("--preset", default="stories", help=f"one of {', '.join(PRESETS)}")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora")
    parser.add_argument("--train", help="your own corpus instead of the preset's: a file, a folder, a Hub dataset id")
    parser.add_argument("--name", help="name of your model; default: the preset's")
    parser.add_argument("--out", type=Path, help="folder of the run; default: runs/<name>")
    parser.add_argument("--init-from", type=Path, help="model folder to begin with: its weights, shape and tokenizer")
    parser.add_argument("--learning-rate", type=float, help="peak; a third of the preset's suits --init-from")
    parser.add_argument("--minutes", type=float, help="train so long")
    parser.add_argument("--steps", type=int, help="train so many steps")
    parser.add_argument("--seed", type=int, help="of fresh weights and of the order of the data")
    parser.add_argument("--no-compile", action="store_true", help="start at once, run slower")


def run(arguments):
    """Train, or go on from the run's checkpoint, and write ``<out>/model``."""
    config = configure(arguments)
    folder = arguments.out or Path("runs") / (arguments.name or arguments.preset)
    result = train(config, arguments.data, folder, preset_name=arguments.preset)
    if int(os.environ.get("RANK", 0)):
        return 0
    print(", ".join(f"{name} {value:.4f}" for name, value in result.items()))
    print(f"weights in {folder / 'model'}; next: python -m bigmodel export text_generation --model {folder / 'model'}")
    return 0


def configure(arguments):
    """Return the preset with the command line's changes."""
    config = preset(arguments.preset)
    if arguments.train:
        config = dataclasses.replace(config, train=((str(Path(arguments.train).absolute()), 1),), valid=None)
        if not Path(arguments.train).exists():  # a Hub dataset id
            config = dataclasses.replace(config, train=((arguments.train, 1),))
    if arguments.name:
        config = dataclasses.replace(config, name=arguments.name, title=arguments.name, description="")
    limits = {"max_minutes": arguments.minutes, "max_steps": arguments.steps}
    limits = limits if limits != {"max_minutes": None, "max_steps": None} else {}
    chosen = {name: value for name in ("learning_rate", "seed") if (value := getattr(arguments, name)) is not None}
    settings = dataclasses.replace(config.settings, **limits, **chosen)
    if arguments.init_from:
        shape = TransformerConfig.from_qwen3(read_json(arguments.init_from / "config.json"))
        shape = dataclasses.replace(shape, dropout=config.transformer.dropout)
        config = dataclasses.replace(config, init_from=arguments.init_from, transformer=shape)
    if arguments.no_compile:
        settings = dataclasses.replace(settings, compile=False)
    return dataclasses.replace(config, settings=settings)


def train(config, data, folder, *, preset_name=None):
    """Train a configuration's model.

    Args:
        config: TextGenerationConfig.
        data: folder of the corpora.
        folder: the run's; gets checkpoints, log, plot, and the model folder ``model``.
        preset_name: of the preset that it began with, for the model card.

    Returns:
        dict: the last validation: "loss" in nats a token, "bits_per_byte" or "nats_per_character".
    """
    folder = Path(folder)
    corpus = load_corpus(config, data, folder / "tokens")
    model = make_model(config, corpus.tokenizer.get_vocab_size())

    def validate(model):
        nats = total_loss(model, corpus.valid, context=config.window, stride=config.window)
        scored = sum(len(ids) - first for ids, first in corpus.valid)
        per_unit = nats / corpus.valid_units
        if config.tokenizer == "bpe":
            return {"loss": nats / scored, "bits_per_byte": per_unit / math.log(2)}
        return {"loss": nats / scored, "nats_per_character": per_unit}

    trainer = Trainer(model, corpus.windows, config.settings, folder, validate=validate)
    result = trainer.run()
    if trainer.rank == 0:
        best = load_state(folder / "best.pt")
        if best:
            trainer.model.load_state_dict(best["model"])
        save_model(config, trainer.model, corpus.tokenizer, folder / "model")
        facts = training_facts(config, trainer, corpus.windows, preset=preset_name)
        # figures of other weights would be wrong now
        write_json(folder / "model" / "metrics.json", {"training": facts, "data": corpus_facts(config, data)})
    return result


def save_model(config, model, tokenizer, folder):
    """Write a model folder without its ONNX files: weights, configuration, tokenizer, generation defaults."""
    from bigmodel.training.tokenizer import END_OF_TEXT, save_tokenizer

    end = tokenizer.token_to_id(END_OF_TEXT)
    about = {
        "task": "text_generation",
        "name": config.name,
        "title": config.title,
        "description": config.description,
        "languages": list(config.languages),
        "format": config.format,
    }
    save_pretrained(model, folder, extra={"bos_token_id": end, "eos_token_id": end, "bigmodel": about})
    save_tokenizer(tokenizer, folder)
    sampling = {"do_sample": True, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "max_new_tokens": 200}
    write_json(folder / "generation_config.json", {"bos_token_id": end, "eos_token_id": end, **sampling})
