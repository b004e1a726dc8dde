"""Writing text with an exported model: the class that the page, the endpoints and the command line use."""

import math
import time
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from numbers import Integral, Real

import numpy as np

from bigmodel.errors import BigModelError, InputError, ModelFolderError, first_line
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.runtime.batching import Ending, Row, SharedBatch
from bigmodel.runtime.decoding import Decoder
from bigmodel.runtime.sampling import DEFAULTS, Sampler
from bigmodel.runtime.session import create_session, provider_order
from bigmodel.runtime.tokenizer import Tokenizer, plain_text
from bigmodel.text_generation.poetry import START

MAX_SEED = 2**64 - 1
MAX_CHARACTERS = 1_000_000
PATIENCE_S = 1  # after which one who still waits is asked whether to go on
# name -> type, lowest, highest value
LIMITS = {
    "max_new_tokens": (Integral, 1, 1_000_000),
    "temperature": (Real, 0, 10),
    "top_k": (Integral, 0, 100_000),
    "top_p": (Real, 1e-6, 1),
    "seed": (Integral, 0, MAX_SEED),
    "deadline": (Real, 0.001, 86400),
    "k": (Integral, 1, 1000),
}


class TextGenerator:
    """A text model, ready to write. All methods may be called from several threads at once.

    Attributes:
        folder: artifacts.ModelFolder.
        config: dict of config.json.
        format: "plain", or "poetry", whose prompts come from poetry.encode_prompt.
        provider: "tensorrt", "cuda" or "cpu": what the model really runs on.
        skipped: why the providers before it are not used.
        tokenizer: runtime.tokenizer.Tokenizer.
        vocabulary: token -> id.
        context: tokens that the model sees at once.
        defaults: max_new_tokens, temperature, top_k and top_p where a caller says none.
    """

    task = "text_generation"

    def __init__(self, folder, session, slots=16):
        self.folder, self.config = folder, folder.config
        self.format = folder.card.get("format", "plain")
        self.provider, self.skipped = session.provider, session.skipped
        self.tokenizer = Tokenizer(folder.file("tokenizer.json"))
        self.vocabulary = self.tokenizer.vocabulary
        self.context = self.config["max_position_embeddings"]
        self.defaults = {name: folder.generation_config.get(name, value) for name, value in DEFAULTS.items()}
        self.start_id = self.vocabulary.get(START)
        if self.start_id is None:
            raise ModelFolderError(f"{folder.file('tokenizer.json')} has no token {START}")
        special = set(self.tokenizer.special) - {self.start_id}
        suppressed = {*folder.generation_config.get("suppress_tokens", special)}
        suppressed |= {*range(len(self.tokenizer.token_bytes), self.config["vocab_size"])}  # rows without a token
        self.batch = SharedBatch(Decoder(session, self.config, slots + 1), [self.start_id], suppressed)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id, *, providers=None, threads=None, slots=16):
        """Open a model folder, or one from the Hugging Face Hub ("user/name@commit").

        Args:
            folder_or_hub_id: see ModelFolder.open.
            providers, threads: see session.create_session.
            slots: texts at once; those beyond wait.

        Raises:
            ModelFolderError: a file is missing, altered or refused.
            ProviderError: no provider can be had.
        """
        folder = ModelFolder.open(folder_or_hub_id, cls.task)
        session = create_session(folder.graphs(), providers, threads, cuda_graph=True)
        try:
            return cls(folder, session, slots)
        except BigModelError:
            raise
        except Exception as error:  # a GPU may hold the weights, but not the cache
            order = provider_order(providers)
            if not (rest := order[order.index(session.provider) + 1 :]):
                raise
            skipped = *session.skipped, f"{session.provider}: {first_line(error)[:300]}"
        session = create_session(folder.graphs(), rest, threads, cuda_graph=True)
        return cls(folder, replace(session, skipped=skipped + session.skipped), slots)

    def stream(
        self,
        prompt,
        *,
        max_new_tokens=None,
        temperature=None,
        top_k=None,
        top_p=None,
        seed=0,
        constraint=None,
        stop=None,
        deadline=None,
        ending=None,
    ):
        """Return an iterator of the text's pieces, without the prompt. Closing it frees its place in the batch.

        Args:
            prompt: text that may spell out special tokens. A plain one longer than the context loses its beginning.
            max_new_tokens: tokens to write at most; beyond the context a plain text goes on from its last half.
            temperature: divides the logits; 0 always takes the likeliest token.
            top_k: keep the k likeliest tokens; 0 keeps all.
            top_p: then keep the fewest whose probabilities sum to this.
            seed: equal arguments give equal text, alone or in company.
            constraint: function of (new ids, new text) called before each token; returns None, the id, or the ids
                that may come.
            stop: a text or several; the first of them ends the writing and is not part of it.
            deadline: seconds after which the writing ends.
            ending: Ending, filled in while the text is read.

        Raises:
            InputError: names the field that is wrong, and its limit.
        """
        settings = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        limits = {"seed": seed, "constraint": constraint, "stop": stop, "deadline": deadline, "ending": ending}
        return _one_by_one(self.bursts(prompt, **settings, **limits))

    def bursts(
        self,
        prompt,
        *,
        interval=lambda: 0.0,
        max_new_tokens=None,
        temperature=None,
        top_k=None,
        top_p=None,
        seed=0,
        constraint=None,
        stop=None,
        deadline=None,
        ending=None,
    ):
        """Return an iterator of lists of pieces: as ``stream``, with all pieces of some time together.

        Args:
            interval: function that returns the seconds between two lists; the first comes at once. Who needs no single
                token leaves the work of a batch to one thread, which is quicker for all. While a text waits for a slot
                an empty list comes each second, where the iterator may be closed.
            prompt, max_new_tokens, temperature, top_k, top_p, seed, constraint, stop, deadline, ending: see ``stream``.

        Raises:
            InputError: names the field that is wrong, and its limit.
        """
        row_of, deadline = self._prepare(max_new_tokens, temperature, top_k, top_p, constraint, deadline)
        return self._bursts(*row_of(prompt, _number("seed", seed)), _stops(stop), deadline, interval, ending)

    def generate(
        self,
        prompts,
        *,
        max_new_tokens=None,
        temperature=None,
        top_k=None,
        top_p=None,
        seed=0,
        seeds=None,
        constraint=None,
        stop=None,
        deadline=None,
    ):
        """Return the texts that follow several prompts, written in one batch.

        Args:
            prompts: list of texts.
            seeds: a seed for each; None gives all of them ``seed``.
            max_new_tokens, temperature, top_k, top_p, seed, constraint, stop, deadline: see ``stream``.

        Raises:
            InputError: names the field that is wrong, and its limit.
        """
        if isinstance(prompts, str) or not isinstance(prompts, Iterable):
            raise InputError("prompts", f"must be a list of texts, not {type(prompts).__name__}")
        prompts = list(prompts)
        seeds = [seed] * len(prompts) if seeds is None else list(seeds)
        if len(seeds) != len(prompts):
            raise InputError("seeds", f"{len(seeds)} for {len(prompts)} prompts; give one for each")
        row_of, deadline = self._prepare(max_new_tokens, temperature, top_k, top_p, constraint, deadline)
        rows = [row_of(p, _number("seed", s)) for p, s in zip(prompts, seeds, strict=True)]
        stops, texts, running = _stops(stop), [""] * len(rows), {}
        waiting = deque(enumerate(rows))
        try:
            while waiting or running:
                while waiting and len(running) < self.batch.slots:
                    i, (row, decoder) = waiting.popleft()
                    row.ahead = math.inf  # it must not stand still while another one is read
                    running[i] = self._bursts(row, decoder, stops, deadline)
                for i, bursts in list(running.items()):
                    if (burst := next(bursts, None)) is None:
                        del running[i]
                    else:
                        texts[i] += "".join(burst)
        finally:
            for bursts in running.values():
                bursts.close()
        return texts

    def next_tokens(self, prompt, k=10):
        """Return the k likeliest next tokens, the likeliest first: a list of (text, probability).

        Args:
            prompt: as in ``stream``.
            k: 1 to 1000.
        """
        (ids, after_blank), k = self._prompt_ids(prompt), _number("k", k)
        logits = self.batch.run_alone(lambda decoder, slot: decoder.prefill(slot, ids))[0].astype(np.float64)
        probabilities = np.exp(logits - _log_sum(logits))
        if after_blank:
            words = probabilities[self.tokenizer.word_ids]
            probabilities[:] = -1
            probabilities[self.tokenizer.word_ids] = words / words.sum()
        probabilities[self.batch.suppressed] = -1  # never chosen, and of no use to a reader
        best = [i for i in np.argsort(-probabilities, kind="stable")[:k] if probabilities[i] >= 0]
        return [(self.tokenizer.token_text(int(i))[after_blank:], float(probabilities[i])) for i in best]

    def score(self, text):
        """Return (log-probability in nats, tokens, UTF-8 bytes) of a text after the start of a document.

        A text longer than the context is scored in windows that overlap by half, each token once. Special tokens in
        the text count as tokens, not as bytes; one at its very start that begins the document counts as neither.

        Raises:
            InputError: the text is no text, or is empty.
        """
        ids = [self.start_id, *self._encode("text", text)]
        if len(ids) == 1:
            raise InputError("text", "is empty; there is nothing to score")
        total, scored = 0.0, 1  # the first token is given
        while scored < len(ids):
            begin = 0 if scored == 1 else scored - self.context // 2
            window = ids[begin : begin + self.context]
            total += self.batch.run_alone(partial(_score, ids=window, first=scored - begin))
            scored = begin + len(window)
        for token in self.tokenizer.special.values():
            text = text.replace(token, "")
        return total, len(ids) - 1, len(text.encode())

    def skipped_in(self, text):
        """Return the characters of a text for which the model has no token, each once.

        Raises:
            InputError: the text is no text.
        """
        return self.tokenizer.unknown_characters(plain_text("text", text))

    def _encode(self, field, text):
        """Return the ids of a text, without the start of a document that it may spell out."""
        return self.tokenizer.encode(plain_text(field, text).removeprefix(START))

    def _prompt_ids(self, prompt):
        """Return the ids of a prompt, the start of a document before them, no more than the context.

        And whether it ends in a blank that is not among them, since words bring their own: one of them has to follow.
        """
        if isinstance(prompt, str) and len(prompt) > MAX_CHARACTERS:
            raise InputError("prompt", f"{len(prompt)} characters; the limit is {MAX_CHARACTERS}")
        text, poetry = plain_text("prompt", prompt), self.format == "poetry"
        bare = text.rstrip(" ")
        after_blank = bare != text and bool(bare[-1:].strip()) and not poetry and self.tokenizer.word_ids.size > 0
        text = bare if after_blank else text
        ids = self._encode("prompt", text if poetry else self.tokenizer.straighten(text))
        if len(ids) < self.context:
            return [self.start_id, *ids], after_blank
        if poetry:  # its beginning says what is asked for
            raise InputError("prompt", f"{len(ids)} tokens; the limit is {self.context - 1}")
        return [self.start_id, *ids[-(self.context // 2) :]], after_blank

    def _prepare(self, max_new_tokens, temperature, top_k, top_p, constraint, deadline):
        """Check the settings; return a function of (prompt, seed) that makes a Row and its decoder, and when to end."""
        values = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        values = {name: _number(name, self.defaults[name] if v is None else v) for name, v in values.items()}
        if deadline is not None:
            deadline = time.monotonic() + _number("deadline", deadline)
        limit = values.pop("max_new_tokens")

        def row_of(prompt, seed):
            ids, after_blank = self._prompt_ids(prompt)
            constrain = _Constraint(constraint, self.tokenizer, after_blank) if constraint or after_blank else None
            keep = 0 if self.format == "poetry" else self.context // 2
            row = Row(ids, Sampler(**values, seed=seed), limit, constrain, keep)
            return row, self.tokenizer.stream(after_blank)

        return row_of, deadline

    def _bursts(self, row, decoder, stops, deadline, interval=lambda: 0.0, ending=None):
        """Yield the text of a row in lists of pieces, empty ones while it waits; it leaves the batch in any case."""
        finder, ending = _StopFinder(stops), ending or Ending()
        until, deadline = 0.0, math.inf if deadline is None else deadline
        self.batch.join(row)
        try:
            while time.monotonic() < deadline:
                ids = self.batch.read(row, until, min(deadline, time.monotonic() + PATIENCE_S))
                if not ids and (row.ended or row.cancelled) and not (ids := self.batch.read(row)):
                    ending.by_itself = row.finished
                    break
                until, pieces = time.monotonic() + interval(), []
                for id_ in ids:
                    ending.tokens += 1
                    pieces += [piece] if (piece := finder.push(decoder.push(id_))) else []
                    if finder.found:
                        ending.by_itself = True
                        break
                if pieces or not ids:
                    yield pieces
                if finder.found:
                    return
            if piece := finder.push(decoder.flush()) + finder.flush():
                yield [piece]
        finally:
            self.batch.leave(row)


def _one_by_one(bursts):
    """Yield the pieces of lists, and close their iterator in any case."""
    with closing(bursts):
        for burst in bursts:
            yield from burst


class _Constraint:
    """Gives a constraint the new text beside the new ids; after a blank a word comes first."""

    def __init__(self, constraint, tokenizer, after_blank):
        self.constraint, self.decoder, self.text, self.seen = constraint, tokenizer.stream(after_blank), "", 0
        self.first = tokenizer.word_ids if after_blank else None

    def __call__(self, ids):
        for id_ in ids[self.seen :]:
            self.text += self.decoder.push(id_)
        self.seen = len(ids)
        allowed = self.constraint(ids, self.text) if self.constraint else None
        return self.first if allowed is None and not ids else allowed


class _StopFinder:
    """Passes text on until a stop text appears, and holds back what may be the beginning of one."""

    def __init__(self, stops):
        self.stops, self.held, self.found = stops, "", False

    def push(self, text):
        """Return the text that is free to go."""
        if not self.stops or self.found:
            return "" if self.found else text
        self.held += text
        places = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if places:
            self.found = True
            return self.held[: min(places)]
        longest = max(
            (n for stop in self.stops for n in range(1, len(stop)) if self.held.endswith(stop[:n])), default=0
        )
        free, self.held = self.held[: len(self.held) - longest], self.held[len(self.held) - longest :]
        return free

    def flush(self):
        """Return what was held back at the end of the text."""
        return "" if self.found else self.held


def _number(name, value):
    """Return a setting as int or float.

    Raises:
        InputError: names the field and its limits.
    """
    kind, low, high = LIMITS[name]
    noun = "a whole number" if kind is Integral else "a number"
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        raise InputError(name, f"{str(value)[:40]!r}; give {noun} from {low} to {high}")
    return int(value) if kind is Integral else float(value)


def _stops(stop):
    """Return the stop texts as a list."""
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list | tuple) or not all(isinstance(text, str) and text for text in stops):
        raise InputError("stop", "give a text, or a list of texts, none of them empty")
    return stops


def _log_sum(logits):
    """log(sum(exp(logits))) over the last axis."""
    largest = logits.max(-1, keepdims=True)
    return largest + np.log(np.exp(logits - largest).sum(-1, keepdims=True))


def _score(decoder, slot, ids, first):
    """Return the log-probability in nats of ids[first:], each given those before it."""
    logits = decoder.prefill(slot, ids[:-1], len(ids) - first).astype(np.float64)
    chosen = np.take_along_axis(logits, np.array(ids[first:])[:, None], -1)
    return float((chosen - _log_sum(logits)).sum())
