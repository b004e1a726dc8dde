"""``python -m bigmodel train text_generation``: corpus -> tokenizer -> weights in a model folder."""

import dataclasses
import math
from pathlib import Path

from bigmodel.config import TransformerConfig, read_config, read_json, write_json
from bigmodel.errors import ConfigError
from bigmodel.nn.checkpoint import save_pretrained
from bigmodel.text_generation.config import PRESETS
from bigmodel.text_generation.data import load_corpus
from bigmodel.text_generation.model import make_model, total_loss
from bigmodel.training import command
from bigmodel.training.facts import keep_facts
from bigmodel.training.loop import Trainer
from bigmodel.training.state import load_state


def add_arguments(parser):
    """Add the options of ``train text_generation``."""
    command.add_arguments(parser, PRESETS)
    parser.add_argument("--train", help="your own corpus instead of the preset's: a file, a folder, a Hub dataset id")


def run(arguments):
    """Train, or go on from the run's checkpoint, and write ``<out>/model``."""
    return command.run(train, configure(arguments), "text_generation", arguments)


def configure(arguments):
    """Return the preset with the command line's changes.

    Raises:
        ConfigError: --init-from is a model of another format.
    """
    config = command.configure(PRESETS, arguments)
    if arguments.train:
        own = ((command.own_corpus(arguments.train), 1),)
        config = dataclasses.replace(config, train=own, valid=None, languages=())  # of any script
    if arguments.init_from:
        about = read_config(arguments.init_from).get("bigmodel", {})
        if (form := about.get("format", "plain")) != config.format:
            raise ConfigError(f"{arguments.init_from} is of the format {form}, not {config.format}; give its --preset")
        decoder = read_json(arguments.init_from / "tokenizer.json").get("decoder") or {}
        kind = "bpe" if decoder.get("type") == "ByteLevel" else "characters"
        config = dataclasses.replace(config, tokenizer=kind)
    return command.begin_with(config, arguments.init_from, TransformerConfig.from_qwen3)


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
        corpora = [(name, "train", weight) for name, weight in config.train]
        corpora += [(config.valid, "valid", 1)] if config.valid else []
        keep_facts(config, trainer, corpora, data, preset=preset_name)
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
