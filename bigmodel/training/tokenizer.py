"""Tokenizers, trained here and saved as a stock tokenizer.json."""

from collections import Counter

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from bigmodel.config import write_json
from bigmodel.errors import DataError
from bigmodel.training.state import replacing

END_OF_TEXT = "<|endoftext|>"
UNKNOWN = "<|unk|>"


def train_bpe(texts, *, vocab_size, special_tokens=(END_OF_TEXT,)):
    """Train byte pair encoding over bytes: every text has an encoding, and decoding gives the same text.

    Args:
        texts: iterable of strings.
        vocab_size: tokens in all, at least 256 bytes and the special ones.
        special_tokens: never split, ids from 0.

    Returns:
        tokenizers.Tokenizer.

    Source: Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019 (bytes).
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def train_characters(texts, *, vocab_size, special_tokens=(END_OF_TEXT, UNKNOWN), min_count=1):
    """Make a vocabulary of the most frequent characters; others become UNKNOWN.

    Args:
        texts: iterable of strings.
        vocab_size: at most so many tokens, special ones included.
        special_tokens: never split, ids from 0; holds UNKNOWN.
        min_count: rarer characters are left out.

    Returns:
        tokenizers.Tokenizer.

    Raises:
        DataError: there is no character at all.
    """
    counts = Counter()
    for text in texts:
        counts.update(text)
    kept = [c for c, n in counts.most_common(vocab_size - len(special_tokens)) if n >= min_count]
    if not kept:
        raise DataError("the corpus is empty: no character to make a vocabulary of")
    vocabulary = {token: i for i, token in enumerate([*special_tokens, *kept])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(special_tokens))
    return tokenizer


def save_tokenizer(tokenizer, folder):
    """Write tokenizer.json and the tokenizer_config.json with which ``AutoTokenizer`` reads it."""
    with replacing(folder / "tokenizer.json") as part:
        tokenizer.save(str(part))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
    }
    if tokenizer.token_to_id(UNKNOWN) is not None:
        config["unk_token"] = UNKNOWN
    write_json(folder / "tokenizer_config.json", config)
