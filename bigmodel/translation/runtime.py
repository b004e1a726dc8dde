"""Translating with an exported model: sentences, batches, beams, and what must not change."""

import math
import re
import unicodedata
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from bigmodel.errors import InputError, ModelFolderError
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.runtime.session import create_sessions
from bigmodel.runtime.tokenizer import Tokenizer, plain_text
from bigmodel.translation import placeholders
from bigmodel.translation.beam_search import beam_search
from bigmodel.translation.decoding import EncoderDecoder
from bigmodel.translation.detection import CODES, UNKNOWN, LanguageDetector
from bigmodel.translation.segmentation import WITHOUT_SPACES, cut, join, split

BATCH = 16  # sentences decoded together; more gain little, and are longer on their way
MAX_BEAMS = 64
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")  # soft hyphens, and blanks of no width
_I = re.compile(r"\bi\b")
_SHOUTED = re.compile(r"[^\W\d_]{3,}\W+[^\W\d_]{3,}")  # more than an abbreviation


@dataclass(frozen=True)
class Alternative:
    """One translation of a sentence.

    Attributes:
        text: the translation.
        log_prob: of its tokens and its end, summed, in nats.
        score: the probability of a token of it, their geometric mean, in (0, 1].
    """

    text: str
    log_prob: float
    score: float


@dataclass(frozen=True)
class Translation:
    """The translation of a text.

    Attributes:
        text: the whole, with its paragraphs, blank lines and list marks; "…" for sentences that are still to come.
        source, target: codes.
        sentences: the source's sentences.
        alternatives: a list of Alternative a sentence, best first; the first ones make ``text``. Empty where it is
            still to come.
    """

    text: str
    source: str
    target: str
    sentences: list
    alternatives: list


class Translator:
    """A translator of sentences in the directions that its model knows. Safe to use from several threads.

    Args:
        folder: ModelFolder.
        model: decoding.EncoderDecoder of its graphs, or another with ``end`` and ``start``.
        provider: what that runs on, such as "cpu", "cuda" or "tensorrt".
        skipped: why the providers before it are not used.

    Attributes:
        directions: tuple of (source, target) codes.
    """

    task = "translation"

    def __init__(self, folder, model, *, provider, skipped=()):
        self.folder, self.model, self.provider, self.skipped = folder, model, provider, skipped
        self.tokenizer = Tokenizer(folder.file("tokenizer.json"))
        self.tokenizer.raw.encode_special_tokens = True  # a visitor's "<|en-de|>" is text
        directions = folder.card.get("directions", [])
        self.directions = tuple(tuple(d.split("-")) for d in directions)
        if any(len(direction) != 2 for direction in self.directions):
            raise ModelFolderError(f"{folder.path / 'config.json'}: directions are of two codes each, such as en-de")
        vocabulary = self.tokenizer.vocabulary
        try:
            self._direction_ids = {d: vocabulary[f"<|{'-'.join(d)}|>"] for d in self.directions}
            self._mark_ids = [vocabulary[token] for token in placeholders.TOKENS]
        except KeyError as error:
            raise ModelFolderError(f"{folder.path / 'tokenizer.json'} lacks {error.args[0]}") from error
        self.longest = folder.config["n_positions"] - 1
        self.defaults = {name: folder.generation_config.get(name, 1) for name in ("num_beams", "length_penalty")}
        self._banned = np.ones(folder.config["vocab_size"], bool)  # but for what spells a text, and the end
        self._banned[[i for i in vocabulary.values() if i not in self.tokenizer.special]] = False
        self._banned[self.model.end] = False

    @classmethod
    def from_pretrained(cls, folder_or_hub_id, *, providers=None, threads=None):
        """Open a model folder, or a model of the Hub.

        Args:
            folder_or_hub_id: a path, or "user/name" with an optional "@commit".
            providers, threads: see create_session.

        Raises:
            ModelFolderError: names the file that is missing, altered or refused.
            ProviderError: none of the providers can be had.
        """
        folder = ModelFolder.open(folder_or_hub_id, cls.task)
        stacks = [folder.graphs(f"{stack}_model") for stack in ("encoder", "decoder")]
        encoder, decoder = create_sessions(stacks, providers, threads)
        model = EncoderDecoder(encoder, decoder, folder.config)
        return cls(folder, model, provider=decoder.provider, skipped=decoder.skipped)

    def detect(self, text):
        """Return (code, probability) of the languages that a text may be in, best first; see detection."""
        return LanguageDetector.load().detect(text)

    def translate(self, texts, *, source="auto", target=None, num_beams=None, num_alternatives=1, **search):
        """Translate texts.

        Args:
            texts: a string, or a list of them.
            source: a code, or "auto" to detect it in each text.
            target: a code; None takes the first that fits the source.
            num_beams: hypotheses a sentence, at least num_alternatives; 1 is greedy; None is the model's own.
            num_alternatives: translations of each sentence.
            search: length_penalty and early_stopping of beam_search.

        Returns:
            A Translation, or a list of them.

        Raises:
            InputError: names the field that is wrong.
        """
        alone = isinstance(texts, str)
        options = {"source": source, "target": target, "num_beams": num_beams, "num_alternatives": num_alternatives}
        for *_, translations in self.stream([texts] if alone else texts, **options, **search):  # noqa: B007
            pass  # the last ones are whole
        return translations[0] if alone else translations

    def stream(self, texts, *, source="auto", target=None, num_beams=None, num_alternatives=1, **search):
        """Translate texts batch by batch; closing the generator stops the work after the batch.

        Args:
            texts: list of strings; the rest as in ``translate``.

        Yields:
            (sentences done, sentences in all, list of Translation) after each batch, and once before the first.
        """
        num_alternatives = _number("num_alternatives", num_alternatives, MAX_BEAMS)
        num_beams, search = self._search(num_beams, num_alternatives, search)
        texts = [plain_text("text", text) for text in texts]
        jobs = [_Job(text, *self.direction(text, source, target), self._fits) for text in texts]
        waiting = [(job, i) for job in jobs for i in range(len(job.sentences))]
        done, total, results = 0, len(waiting), [job.translation() for job in jobs]
        places = {id(job): place for place, job in enumerate(jobs)}
        yield done, total, list(results)
        for batch in _batches(waiting, lambda item: len(item[0].sentences[item[1]])):
            sentences, directions = [job.sentences[i] for job, i in batch], [job.direction for job, _ in batch]
            found = self._sentences(sentences, directions, num_beams, search)
            for (job, i), alternatives in zip(batch, found, strict=True):
                job.alternatives[i] = alternatives[:num_alternatives]
            for job in {id(job): job for job, _ in batch}.values():
                results[places[id(job)]] = job.translation()
            done += len(batch)
            yield done, total, list(results)

    def translate_sentences(self, sentences, direction, *, num_beams=None, **search):
        """Translate sentences that are not to be split further.

        Args:
            sentences: list of strings.
            direction: (source, target) codes.
            num_beams, search: as in ``translate``.

        Returns:
            A list of Alternative a sentence, best first; a sentence without a letter is its own translation.

        Raises:
            InputError: names the field that is wrong.
        """
        direction = self.direction("", *direction)
        num_beams, search = self._search(num_beams, 1, search)
        results = [[Alternative(sentence, 0.0, 1.0)] for sentence in sentences]
        wordy = [i for i, sentence in enumerate(sentences) if any(map(str.isalpha, sentence))]
        for batch in _batches(wordy, lambda i: len(sentences[i])):
            found = self._sentences([sentences[i] for i in batch], [direction] * len(batch), num_beams, search)
            for i, alternatives in zip(batch, found, strict=True):
                results[i] = alternatives
        return results

    def _search(self, num_beams, fewest, search):
        """Return how many beams there are, at least ``fewest``, and the other arguments of beam_search."""
        num_beams = self.defaults["num_beams"] if num_beams is None else num_beams
        num_beams = max(_number("num_beams", num_beams, MAX_BEAMS), fewest)
        defaults = {"num_hypotheses": fewest, "length_penalty": self.defaults["length_penalty"]}
        return num_beams, {**defaults, **search}

    def direction(self, text, source="auto", target=None):
        """Return the (source, target) in which a text is to be translated.

        Raises:
            InputError: the model does not translate so.
        """
        sources = list(dict.fromkeys(s for s, _ in self.directions))
        if source == "auto":
            source = self._source_of(text, sources, target)
        if source not in sources:
            raise InputError("source", f"{source!r} is not known to this model; it reads {', '.join(sources)}")
        targets = [t for s, t in self.directions if s == source]
        target = targets[0] if target is None else target
        if target == source:
            raise InputError("target", f"is the language of the text, {source!r}; choose another")
        if target not in targets:
            raise InputError("target", f"{target!r} is not known to this model; from {source} to {', '.join(targets)}")
        return source, target

    def _source_of(self, text, sources, target):
        """Return which of its sources a text is in; one that is not detected is that which cannot be.

        A text without a letter, such as 12345, is in the first that is translated into the target.
        """
        text = placeholders.without(text)
        if not any(map(str.isalpha, text)):
            return next((s for s, t in self.directions if target in (None, t)), sources[0])
        ranked = [code for code, _ in self.detect(text) if code in (*sources, UNKNOWN)]
        others = [code for code in sources if code not in CODES]
        if ranked[0] == UNKNOWN and others:
            if len(others) > 1:
                raise InputError("source", f"is not detected; give one of {', '.join(others)}")
            return others[0]
        return next((code for code in ranked if code != UNKNOWN), sources[0])

    def attention(self, sentence, translation, direction):
        """Say where the decoder looked: the cross-attention of its layers and heads, averaged.

        Args:
            sentence, translation: texts of at most some 200 tokens.
            direction: (source, target) codes.

        Returns:
            source tokens, target tokens (lists of str) and weights (target, source) float32, whose rows sum to 1.
        """
        marked, kept = placeholders.protect(sentence)
        source = self._encode(self._plain(marked, direction)[0], direction)[: self.longest]
        target = self._encode(placeholders.mark(translation, kept), direction)[1:][: self.longest]
        hypotheses = self.model.start([source], 1)
        names = [f"cross_query.{layer}" for layer in range(self.model.layers)]
        weights, token = [], self.model.end
        for following in target:
            *_, queries = hypotheses.step(np.array([[token]]), np.zeros((1, 1), np.int64), 1, names)
            weights.append(np.mean([self._looked(hypotheses, i, q) for i, q in enumerate(queries)], axis=0))
            token = following
        spell = lambda ids: [self._spell(i, kept) for i in ids]  # noqa: E731
        weights = np.stack(weights)[:-1, 1:-1]  # neither the direction nor the ends
        weights /= weights.sum(1, keepdims=True)
        return spell(source[1:-1]), spell(target[:-1]), weights.astype(np.float32)

    def _looked(self, hypotheses, layer, query):
        """Return the mean over heads of a layer's attention (source,) for one query (1, 1, width)."""
        keys = hypotheses.encoded[f"past_key_values.{layer}.encoder.key"].numpy()[0].astype(np.float32)
        scores = np.einsum("hsd,hd->hs", keys, query.reshape(len(keys), -1).astype(np.float32))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        return (scores / scores.sum(-1, keepdims=True)).mean(0)

    def _sentences(self, sentences, directions, num_beams, search):
        """Return the alternatives of sentences, decoded in one batch."""
        marked, kept = zip(*map(placeholders.protect, sentences), strict=True)
        read, shouted = zip(*map(self._plain, marked, directions), strict=True)
        sources = [self._encode(text, d) for text, d in zip(read, directions, strict=True)]
        wordy = [any(map(str.isalpha, text)) for text in marked]
        fitting = [i for i, source in enumerate(sources) if wordy[i] and len(source) <= self.longest]
        results = [None] * len(sentences)
        if fitting:
            hypotheses = self.model.start([sources[i] for i in fitting], num_beams)
            banned = np.tile(self._banned, (len(fitting), 1))
            for row, i in enumerate(fitting):
                banned[row, self._mark_ids[: len(kept[i])]] = False
            limits = [min(2 * len(sources[i]) + 10, self.longest) for i in fitting]
            found = beam_search(hypotheses, end=self.model.end, limits=limits, banned=banned, **search)
            for i, translations in zip(fitting, found, strict=True):
                decoded = [_spaced(self._decode(h.ids), marked[i], directions[i]) for h in translations]
                decoded = [text.upper() for text in decoded] if shouted[i] else decoded
                texts = [(placeholders.restore(t, kept[i]), h) for t, h in zip(decoded, translations, strict=True)]
                results[i] = [_alternative(text, h) for text, h in texts if text is not None]
        for i, alternatives in enumerate(results):
            if not alternatives:
                results[i] = [self._in_parts(marked[i], kept[i], directions[i], num_beams, search)]
        return results

    def _in_parts(self, marked, kept, direction, num_beams, search):
        """Translate what lies between marks by itself, or each half of what is too long; nothing is lost."""
        parts = placeholders.parts(marked)
        if len(parts) == 1:
            half = len(marked) // 2
            middle = max(marked.rfind(" ", 1, half + 1), 0) or half
            parts = [marked[:middle], marked[middle:]]
        wordy = [i for i, part in enumerate(parts) if any(map(str.isalpha, part))]
        stripped = [parts[i].strip() for i in wordy]
        found = self._sentences(stripped, [direction] * len(wordy), num_beams, search) if wordy else []
        for i, old, (best, *_) in zip(wordy, stripped, found, strict=True):
            text = best.text if old[-1] in ".。" else best.text.rstrip(".。")  # a part is no sentence
            parts[i] = parts[i].replace(old, text)
        score = min((best.score for best, *_ in found), default=1.0)
        apart = " ".join(parts) if direction[0] in WITHOUT_SPACES else marked
        text = _spaced("".join(parts), apart, direction)
        return Alternative(placeholders.fill(text, kept), sum(best.log_prob for best, *_ in found), score)

    def source_ids(self, sentence, direction):
        """Return the ids that the encoder reads of a sentence; direction is (source, target) codes."""
        return self._encode(self._plain(placeholders.protect(sentence)[0], direction)[0], direction)

    def _plain(self, marked, direction):
        """Return a sentence, its marks set, as corpora spell it, and whether it was in capitals throughout."""
        text = _INVISIBLE.sub("", unicodedata.normalize("NFC", marked))
        text = " ".join(text.split())
        if direction[0] in WITHOUT_SPACES:
            return text, False
        shouted = text.isupper() and _SHOUTED.search(text) is not None
        if shouted:
            text = _I.sub("I", text.capitalize()) if direction[0] == "en" else text.capitalize()
        return self.tokenizer.straighten(text, "'"), shouted

    def _fits(self, sentence, direction):
        """Whether the model reads a sentence at once, with a mark for each thing that must not change."""
        if len(sentence) > placeholders.COUNT and placeholders.count(sentence) > placeholders.COUNT:
            return False
        short = len(sentence.encode()) + 2 <= self.longest  # no token is shorter than a byte
        return short or len(self.source_ids(sentence, direction)) <= self.longest

    def _encode(self, text, direction):
        ids = placeholders.encode(text, self.tokenizer.encode, self._mark_ids)
        return [self._direction_ids[direction], *ids, self.model.end]

    def _decode(self, ids):
        marks = dict(zip(self._mark_ids, placeholders.MARKS, strict=True))
        runs = groupby(ids, marks.get)
        return "".join(sign * len(list(run)) if sign else self.tokenizer.decode(run) for sign, run in runs).strip()

    def _spell(self, i, kept):
        """Return a token as a reader should see it."""
        if i in self._mark_ids:
            return placeholders.fill(placeholders.MARKS[self._mark_ids.index(i)], kept)
        return self.tokenizer.token_text(i)


class _Job:
    """A text on its way."""

    def __init__(self, text, source, target, fits):
        self.direction = source, target
        self.segments = [part for whole in split(text, source) for part in _halved(whole, self.direction, fits)]
        self.sentences = [segment.text for segment in self.segments if segment.translate]
        self.alternatives = [[] for _ in self.sentences]

    def translation(self):
        """Return the Translation so far."""
        texts = [found[0].text if found else "…" for found in self.alternatives]
        text = join(self.segments, texts, *self.direction)
        return Translation(text, *self.direction, self.sentences, [list(found) for found in self.alternatives])


def _halved(segment, direction, fits):
    """Return the segments of one that is cut in halves until each fits the model."""
    if not segment.translate or fits(segment.text, direction):
        return [segment]
    halves = cut(segment.text, -(-len(segment.text) // 2))
    if len(halves) == 1:  # one letter with hundreds of accents
        return halves
    return [part for half in halves for part in _halved(half, direction, fits)]


def _batches(waiting, length):
    """Yield batches of items of similar lengths, earlier ones earlier."""
    waiting = iter(waiting)
    while window := list(islice(waiting, 8 * BATCH)):
        window.sort(key=length)
        for start in range(0, len(window), BATCH):
            yield window[start : start + BATCH]


def _spaced(text, source, direction):
    """Return a text whose marks stand apart as in the source, if its language sets words apart."""
    return text if direction[1] in WITHOUT_SPACES else placeholders.set_apart(text, source)


def _alternative(text, hypothesis):
    score = math.exp(hypothesis.log_prob / (len(hypothesis.ids) + 1))
    return Alternative(text, hypothesis.log_prob, score)


def _number(name, value, high):
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise InputError(name, f"{str(value)[:40]!r}; give a whole number from 1 to {high}")
    return value
