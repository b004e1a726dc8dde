"""``python -m bigmodel train translation``: sentence pairs -> tokenizer -> weights in a model folder."""

import dataclasses
import sys
from pathlib import Path

from bigmodel.config import TransformerConfig, read_config, read_json, write_json
from bigmodel.errors import ConfigError
from bigmodel.nn.checkpoint import save_pretrained
from bigmodel.training import command
from bigmodel.training.facts import keep_facts
from bigmodel.training.loop import Trainer
from bigmodel.training.state import load_state
from bigmodel.training.tokenizer import END_OF_TEXT, save_tokenizer
from bigmodel.translation.config import PRESETS, PairCorpus
from bigmodel.translation.data import PairBatches, load_pairs, load_tokenizer
from bigmodel.translation.model import make_model, mean_loss


def add_arguments(parser):
    """Add the options of ``train translation``."""
    command.add_arguments(parser, PRESETS)
    parser.add_argument("--train", help="your own pairs instead of the preset's: two columns, a file or a folder")
    parser.add_argument("--valid", help="your own held-out pairs; needed with --train")
    parser.add_argument("--languages", help="codes of your columns, such as en-fr; needed with --train")


def run(arguments):
    """Train, or go on from the run's checkpoint, and write ``<out>/model``."""
    return command.run(train, configure(arguments), "translation", arguments)


def configure(arguments):
    """Return the preset with the command line's changes.

    Raises:
        ConfigError: --train without --valid or two --languages, or held-out pairs among its own or of the Hub; or
            --init-from a model of other languages.
    """
    config = command.configure(PRESETS, arguments)
    if arguments.train:
        languages = tuple((arguments.languages or "").split("-"))
        if not arguments.valid or len(set(languages)) != 2 or len(languages) != 2 or not all(languages):
            raise ConfigError("--train needs --valid, and --languages such as en-fr")
        if arguments.valid.count("/") == 1 and not Path(arguments.valid).exists():
            raise ConfigError(f"--valid {arguments.valid}: give a file; a Hub dataset's held-out parts are left out")
        folder = Path(arguments.train).resolve()
        if folder.is_dir() and Path(arguments.valid).resolve().is_relative_to(folder):
            raise ConfigError(f"--valid {arguments.valid} lies in {arguments.train}, all of which is trained on")
        corpora = {
            name: (PairCorpus(command.own_corpus(getattr(arguments, name)), languages),) for name in ("train", "valid")
        }
        config = dataclasses.replace(config, directions=(languages, languages[::-1]), **corpora)
    if arguments.init_from:
        shape, decoder = TransformerConfig.from_t5(read_json(arguments.init_from / "config.json"))
        shape = dataclasses.replace(shape, dropout=config.transformer.dropout)
        layers = decoder.num_hidden_layers
        known = read_config(arguments.init_from).get("bigmodel", {}).get("directions", [])
        directions = tuple(d for d in config.directions if "-".join(d) in known)
        if not directions:
            raise ConfigError(f"--init-from {arguments.init_from} translates {', '.join(known)} alone")
        config = dataclasses.replace(config, directions=directions)
        config = dataclasses.replace(config, init_from=arguments.init_from, transformer=shape, decoder_layers=layers)
    return config


def train(config, data, folder, *, preset_name=None):
    """Train a configuration's model.

    Args:
        config: TranslationConfig.
        data: folder of the corpora.
        folder: the run's; gets checkpoints, log, plot, and the model folder ``model``.
        preset_name: of the preset that it began with, for the model card.

    Returns:
        dict: the last validation: "loss" in nats a token, the mean over directions, and each direction's.
    """
    data, folder = Path(data), Path(folder)
    tokenizer = load_tokenizer(config, data, folder / "tokens")
    end = tokenizer.token_to_id(END_OF_TEXT)
    load = lambda corpora, training: load_pairs(  # noqa: E731
        config, corpora, tokenizer, data, folder / "tokens", training=training
    )
    valid = load(config.valid, False)
    batches = PairBatches(
        load(config.train, True),
        batch_tokens=config.batch_tokens,
        max_length=config.max_length,
        end=end,
        seed=config.settings.seed,
    )
    model = make_model(config, tokenizer.get_vocab_size())

    def validate(model):
        losses = {"-".join(pairs.direction): mean_loss(model, pairs, end) for pairs in valid}
        return {"loss": sum(losses.values()) / len(losses), **losses}

    trainer = Trainer(model, batches, config.settings, folder, validate=validate)
    if trainer.rank == 0 and batches.left_out:
        print(f"{batches.left_out:,} pairs are longer than {config.max_length} tokens, and left out", file=sys.stderr)
    result = trainer.run()
    if trainer.rank == 0:
        trainer.model.load_state_dict(load_state(folder / "best.pt")["model"])
        save_model(config, trainer.model, tokenizer, folder / "model")
        corpora = [(c.file, split, c.weight) for split in ("train", "valid") for c in getattr(config, split)]
        keep_facts(config, trainer, corpora, data, preset=preset_name)
    return result


def save_model(config, model, tokenizer, folder):
    """Write a model folder without its ONNX files: weights, configuration, tokenizer, generation defaults."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    ids = {"decoder_start_token_id": end, "eos_token_id": end, "pad_token_id": end}
    about = {
        "task": "translation",
        "name": config.name,
        "title": config.title,
        "description": config.description,
        "languages": sorted({code for direction in config.directions for code in direction}),
        "directions": ["-".join(direction) for direction in config.directions],
    }
    save_pretrained(model, folder, extra={**ids, "bigmodel": about})
    save_tokenizer(tokenizer, folder)
    search = {"num_beams": 5, "length_penalty": 1.0, "max_new_tokens": config.transformer.max_position_embeddings}
    write_json(folder / "generation_config.json", {**ids, "do_sample": False, **search})
