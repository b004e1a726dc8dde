"""From pictures with names to batches of captions and pictures, alone and composed."""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from bigmodel.config import read_json
from bigmodel.errors import DataError
from bigmodel.text_to_image.captions import (
    COLOURS,
    RELATIONS,
    STYLES,
    TONES,
    Subject,
    canonical,
    describe,
    describe_scene,
)
from bigmodel.training.pictures import decode, read_parquet
from bigmodel.training.shares import share
from bigmodel.training.sources import has_tokenizer, note_sources
from bigmodel.training.tokenizer import END_OF_TEXT, UNKNOWN, save_tokenizer

NEEDED = ("name", "style")
COLUMNS = (*NEEDED, "tone", "keywords", "codepoints")  # with texts, apart from "image" and "split"
VALID_SHARE = 50  # one of so many training pictures is kept from the training
LARGEST = 4  # longer side of a picture that is read, in sides of what a model draws
FILLERS = ("a", "an", "the", "and", "of", "in", "on", "with", "style", "emoji", "picture", "drawing", "风格背景在、，")


@dataclass(frozen=True)
class Picture:
    """A picture of one thing on white.

    Attributes:
        image: (size, size, 3) uint8.
        subject: Subject.
        style: of its drawing.
        codepoints: of the character that it draws, "1f431" or several joined by "-"; "" where it draws none.
    """

    image: np.ndarray
    subject: Subject
    style: str
    codepoints: str

    @property
    def caption(self):
        """The plainest one."""
        return canonical(self.subject.name, self.style, self.subject.tone)


def read_pictures(path, split, size=None):
    """Read the pictures of a split.

    Args:
        path: parquet with columns image, name, style, and, where there are, tone, keywords (separated by commas; the
            name may be the first), codepoints, split. Without a column split all pictures are of the training.
        split: "train", "valid" (a part of train that is kept from it, one picture at least, and not all of a thing that
            has several), "test_style" (things never shown in this style), "test_tone" or "test_name" (things never
            shown).
        size: pixels of the side of what a model draws; larger pictures are shrunk to LARGEST of it. None leaves them.

    Returns:
        list of Picture, of the file's size or shrunk.

    Raises:
        DataError: the file is missing or broken, or has no such pictures; or a row's value is none.
    """
    chinese = chinese_names(path)
    rows = list(read_parquet(path, "train" if split == "valid" else split, NEEDED))
    if split in ("train", "valid"):
        rows = [row for row, kept in zip(rows, _kept(rows), strict=True) if kept == (split == "valid")]
    if not rows:
        raise DataError(f"{path} has no pictures of the split {split}")
    return [_picture(row, chinese, size) for row in rows]


def _picture(row, chinese, size):
    """Return the Picture of a row of training.pictures.read_parquet; ``size`` as in read_pictures."""
    where, texts = row["where"], {column: row.get(column) or "" for column in COLUMNS}
    for column, text in texts.items():
        if not isinstance(text, str) or (column in NEEDED and not text.strip()):
            raise DataError(f"{where}: the column {column} holds {row[column]!r}; give a text")
    name, style, tone, keywords, codepoints = texts.values()
    try:
        emoji = character(codepoints)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: the column codepoints holds {codepoints!r}; give such as 1f431-200d-2b1b") from error
    keywords = [word.strip() for word in keywords.split(",")]
    if _letters(keywords[0]) == _letters(name):
        keywords = keywords[1:]
    keywords = tuple(word for word in keywords if word.isalpha())
    subject = Subject(name.replace(":", ","), chinese.get(emoji, ""), keywords, tone)
    image = decode(row["image"], where=where)
    if size and max(image.shape[:2]) > LARGEST * size:
        shrunk = Image.fromarray(image)
        shrunk.thumbnail((LARGEST * size, LARGEST * size), Image.Resampling.HAMMING)  # leaves white ground white
        image = np.asarray(shrunk)
    return Picture(image, subject, style, codepoints)


def _letters(text):
    """Return a text without what a caption's words do not tell apart."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text.casefold()) if letter.isalnum())


def _kept(rows):
    """Return of each row of the training whether it is kept from it; rows of one key get numbers."""
    seen, names = Counter(), [str(row["name"]) for row in rows]
    for row in rows:
        row["number"] = seen[_key(row)]
        seen[_key(row)] += 1
    valid = [_is_valid(row) for row in rows]
    shown = {name for name, kept in zip(names, valid, strict=True) if not kept}
    for i, name in enumerate(names):
        if name not in shown:  # nothing could be learnt of it
            valid[i] = False
            shown.add(name)
    if rows and not any(valid):
        counts = Counter(names)
        valid[min(range(len(rows)), key=lambda i: (counts[names[i]] == 1, _hash(rows[i])))] = True
    return valid


def _is_valid(row):
    return _hash(row) % VALID_SHARE == 0


def _hash(row):
    number = row.get("number")
    key = f"{_key(row)}|{number}" if number else _key(row)
    return int.from_bytes(sha256(key.encode()).digest()[:8], "big")


def _key(row):
    return f"{row['name']}|{row.get('tone') or ''}|{row['style']}"


def character(codepoints):
    """Return the emoji of "1f431-200d-2b1b", without what only says how it is shown; "" of ""."""
    return "".join(chr(int(code, 16)) for code in codepoints.split("-") if codepoints).replace("\ufe0f", "")


def names_file(path):
    """Return the file beside a corpus that has the Chinese names of its emoji, for where ``emoji`` is not installed."""
    return Path(path).with_suffix(".chinese.json")


def chinese_names(path):
    """Return emoji -> Chinese name, as Unicode's CLDR has them: from the names_file of a corpus, or the package emoji.

    Raises:
        DataError: neither is there; without Chinese captions a model would know no Chinese.
    """
    if names_file(path).exists():
        return read_json(names_file(path))
    try:
        import emoji
    except ModuleNotFoundError as error:
        raise DataError(f"the Chinese names need {names_file(path)}, or: pip install emoji") from error
    emoji.config.load_language("zh")
    named = ((text.replace("\ufe0f", ""), data.get("zh", "")) for text, data in emoji.EMOJI_DATA.items())
    return {text: name.strip(":").replace("_", " ") for text, name in named}


def resized(image, size):
    """Scale a picture (height, width, 3) uint8, in the middle of a white square, to (size, size, 3)."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = Image.new("RGB", (side, side), "white")
    square.paste(Image.fromarray(image), ((side - width) // 2, (side - height) // 2))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


# --- words ----------------------------------------------------------------------------------------------------


def make_tokenizer(pictures):
    """Return a tokenizer of whole words, and of single Chinese characters, that captions are made of.

    Every word that a name or a style has is known, and every keyword of two things at least; others become UNKNOWN, so
    that one can tell a visitor which words no caption had.

    Args:
        pictures: list of Picture.
    """
    raw = Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    raw.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[^\p{L}\p{N}]+"), "removed"),
            pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated"),
        ]
    )
    split = lambda text: [word for word, _ in raw.pre_tokenizer.pre_tokenize_str(raw.normalizer.normalize_str(text))]  # noqa: E731
    styles = sorted({picture.style for picture in pictures})
    texts = [*FILLERS, *STYLES, *styles, *TONES, *TONES.values(), *RELATIONS]
    texts += [text for text, _ in RELATIONS.values()] + [*COLOURS, *(text for text, _ in COLOURS.values())]
    words = {word: None for text in texts for word in split(text)}
    subjects = {picture.subject.name: picture.subject for picture in pictures}
    mentions = {}
    for subject in subjects.values():
        words.update(dict.fromkeys([*split(subject.name), *split(subject.chinese)]))
        for word in {word for keyword in subject.keywords for word in split(keyword)}:
            mentions[word] = mentions.get(word, 0) + 1
    words.update(dict.fromkeys(word for word, count in mentions.items() if count >= 2))
    vocabulary = {word: i for i, word in enumerate([END_OF_TEXT, UNKNOWN, *sorted(words)])}
    raw.model = models.WordLevel(vocabulary, unk_token=UNKNOWN)
    raw.add_special_tokens([END_OF_TEXT, UNKNOWN])
    return raw


def load_tokenizer(config, pictures, folder, *sources):
    """Return the tokenizer of a run: its own from before, that of the model it begins with, or a new one.

    Args:
        config: TextToImageConfig.
        pictures: list of Picture, of the training.
        folder: of the run's tokens.
        sources: files of the pictures; a run without a checkpoint follows them.

    Raises:
        DataError: it knows no word of some names, so that nothing would tell their things apart.
    """
    path = Path(folder) / "tokenizer.json"
    kept = has_tokenizer(path.parent, *sources)
    begun = path if kept else config.init_from and config.init_from / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(begun)) if begun else make_tokenizer(pictures)
    names = sorted({picture.subject.name for picture in pictures})
    unknown = [name for name in names if set(tokenizer.encode(name, add_special_tokens=False).tokens) == {UNKNOWN}]
    if unknown:
        named = ", ".join(unknown[:5]) + (" …" if unknown[5:] else "")
        advice = "give another --out" if kept else "train without --init-from"
        raise DataError(f"{config.corpus}: {begun} knows no word of {named}; {advice}")
    if not kept:  # a refused one leaves no trace
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tokenizer(tokenizer, path.parent)
        note_sources(path, *sources)
    return tokenizer


def encode(tokenizer, captions, length):
    """Return captions as the text encoder takes them.

    Args:
        tokenizer: tokenizers.Tokenizer.
        captions: list of str; "" is the caption of a picture of which nothing is said.
        length: tokens of each, what is longer is cut off.

    Returns:
        input_ids, attention_mask: (captions, length) int64; END_OF_TEXT ends each, and fills what is masked.
    """
    end, unknown = (tokenizer.token_to_id(token) for token in (END_OF_TEXT, UNKNOWN))
    input_ids = np.full((len(captions), length), end, np.int64)
    mask = np.zeros_like(input_ids)
    for row, encoding in enumerate(tokenizer.encode_batch(captions, add_special_tokens=False)):
        ids = [i for i in encoding.ids if i != unknown][: length - 1]
        input_ids[row, : len(ids)] = ids
        mask[row, : len(ids) + 1] = 1
    return input_ids, mask


# --- batches --------------------------------------------------------------------------------------------------


def to_pixels(images):
    """Return uint8 images (batch, height, width, 3) as a float32 tensor (batch, 3, height, width) in -1..1."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)


class CaptionedBatches:
    """Batches of pictures and captions, each a function of its step.

    Things with many pictures, such as people in five skin tones, are drawn less often than their number.

    Args:
        config: TextToImageConfig.
        pictures: list of Picture, of the training.
        composer: Composer.
        tokenizer: tokenizers.Tokenizer.
    """

    unit = "pictures"

    def __init__(self, config, pictures, composer, tokenizer):
        self.config, self.pictures, self.composer, self.tokenizer = config, pictures, composer, tokenizer
        self.images = np.stack([resized(picture.image, config.shape.sample_size) for picture in pictures])
        names, which, counts = np.unique([p.subject.name for p in pictures], return_inverse=True, return_counts=True)
        weights = counts[which] ** -0.6
        self._cumulative = np.cumsum(weights / weights.sum())

    @property
    def tokens_per_step(self):
        """Pictures of a batch."""
        return self.config.batch_size

    @property
    def tokens_of_corpus(self):
        """Pictures that an epoch shows, the composed ones among them; None where all are."""
        alone = 1 - self.config.composed
        return round(len(self.pictures) / alone) if alone else None

    def __str__(self):
        return f"{self.config.batch_size} pictures"

    def batch(self, step, rank=0, world=1):
        """Return the batch of a step.

        Args:
            step: number of the batch, from 0.
            rank, world: this process and how many share the batch; world divides batch_size.

        Returns:
            pixel_values: (batch_size / world, 3, size, size) float32 in -1..1.
            input_ids, attention_mask: (batch_size / world, max_tokens) int64.

        Raises:
            ConfigError: world does not divide batch_size.
        """
        numbers = share(step, self.config.batch_size, rank, world)
        drawn = [self._draw(np.random.default_rng((self.config.settings.seed, number))) for number in numbers]
        images, captions = zip(*drawn, strict=True)
        return collate(np.stack(images), captions, self.tokenizer, self.config.shape.max_tokens)

    def _draw(self, rng):
        """Return a picture (size, size, 3) uint8 and its caption."""
        if rng.random() < self.config.composed:
            scene = self.composer.draw(rng)
            image, caption = (
                self.composer.compose(scene, rng),
                describe_scene(scene.subjects, scene.relation, scene.style, scene.colour, rng),
            )
        else:
            i = int(np.searchsorted(self._cumulative, rng.random() * self._cumulative[-1]))
            picture = self.pictures[i]
            image, caption = self.images[i], describe(picture.subject, picture.style, rng)
        return image, "" if rng.random() < self.config.caption_dropout else caption


def collate(images, captions, tokenizer, length):
    """Return images (batch, size, size, 3) uint8 and captions as CaptionedBatches.batch gives them."""
    input_ids, mask = map(torch.from_numpy, encode(tokenizer, list(captions), length))
    return to_pixels(images), input_ids, mask
