"""Drawing with an exported model: a prompt in, pictures out, sharper with every step."""

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import onnxruntime as ort
from PIL import Image

from bigmodel.config import read_json
from bigmodel.errors import InputError, ModelFolderError
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.runtime.session import create_sessions, thread_count
from bigmodel.runtime.tokenizer import Tokenizer, plain_text
from bigmodel.text_to_image.captions import TONES
from bigmodel.text_to_image.sampler import MAX_SEED, SAMPLERS, guided, sample

BATCH = 8  # pictures drawn together
_TONES = {chr(0x1F3FB + i): tone for i, tone in enumerate(TONES)}


@dataclass(frozen=True)
class Reading:
    """What a model understood of a prompt.

    Attributes:
        text: the prompt, emoji replaced by their names; "" where there is nothing in it that the model knows.
        unknown: words that no caption of the training had; they are ignored.
        cut: words beyond those that the model reads; they are ignored, too.
    """

    text: str
    unknown: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Progress:
    """Pictures that are being drawn.

    Attributes:
        step, steps: done, and in all.
        images: (num_images, height, width, 3) uint8, as they are expected to become; after the last step, the result.
        seeds: of each picture.
        reading: Reading of the prompt.
        provider: what draws them, such as "cpu".
    """

    step: int
    steps: int
    images: np.ndarray
    seeds: list[int]
    reading: Reading
    provider: str


class Graphs:
    """The sessions of an image generator.

    Args:
        text_encoder, transformer: session.Session of the graphs that export.text_to_image describes.
        threads: among which rows are shared out on the CPU; most operations are too small to be shared themselves.
    """

    def __init__(self, text_encoder, transformer, threads=1):
        self.text_encoder, self.transformer, self.device = text_encoder.ort, transformer.ort, transformer.device
        self.threads = threads if self.device == "cpu" else 1
        self._pool = ThreadPoolExecutor(self.threads)
        types = {i.name: i.type for i in self.transformer.get_inputs()}
        self.output = self.transformer.get_outputs()[0].name
        self.kind = np.float16 if "float16" in types["sample"] else np.float32

    def encode(self, input_ids, attention_mask):
        """Return what is read of captions (count, max_tokens) at every step: a tuple of arrays (count, …)."""
        found = self.text_encoder.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})
        return *found, attention_mask

    def hold(self, encoded):
        """Return such arrays as ``denoise`` takes them: each thread's rows, on its device before the first step."""
        count = len(encoded[0])
        parts = min(self.threads, count)
        cuts = [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]
        place = lambda values: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values), self.device)  # noqa: E731
        return [(rows, tuple(place(values[rows]) for values in encoded)) for rows in cuts]

    def denoise(self, sample, timestep, held):
        """Return the expected pictures (count, 3, height, width) float32; see DiffusionTransformer.forward."""
        runs = [(sample[rows], timestep[rows], part) for rows, part in held]
        if len(runs) == 1:
            return self._run(*runs[0])
        return np.concatenate(list(self._pool.map(self._run, *zip(*runs, strict=True))))

    def _run(self, sample, timestep, held):
        binding, sample = self.transformer.io_binding(), sample.astype(self.kind)
        binding.bind_cpu_input("sample", sample)
        binding.bind_cpu_input("timestep", timestep)
        for name, value in zip(("encoder_key_values", "pooled_projections", "attention_mask"), held, strict=True):
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(self.output, "cpu")
        self.transformer.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy().astype(np.float32)


class ImageGenerator:
    """Draws what a prompt says. Safe to use from several threads.

    Args:
        folder: ModelFolder.
        model: Graphs, or another with ``encode``, ``hold`` and ``denoise``.
        provider: what that runs on, such as "cpu", "cuda" or "tensorrt".
        skipped: why the providers before it are not used.

    Attributes:
        size: (height, width) of a picture, in pixels.
        styles: names that a prompt may ask for.
        defaults: steps, guidance, sampler.
    """

    task = "text_to_image"

    def __init__(self, folder, model, *, provider, skipped=()):
        self.folder, self.model, self.provider, self.skipped = folder, model, provider, skipped
        self.tokenizer = Tokenizer(folder.file("tokenizer.json"))
        self.tokenizer.raw.encode_special_tokens = True  # a visitor's "<|endoftext|>" is text
        try:
            self.size = (folder.config["sample_size"],) * 2
            self._length, said = folder.config["max_tokens"], folder.generation_config
            self._end = self.tokenizer.vocabulary["<|endoftext|>"]
            self.defaults = {
                "steps": said["num_inference_steps"],
                "guidance": said["guidance_scale"],
                "sampler": said["sampler"],
            }
        except KeyError as error:
            raise ModelFolderError(f"{folder.path}: a file lacks {error.args[0]}") from error
        self.styles = tuple(folder.card.get("styles", ()))

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
        graphs = [folder.graphs(name) for name in ("text_encoder", "transformer")]
        encoder, transformer = create_sessions(graphs, providers, threads=1)
        model = Graphs(encoder, transformer, thread_count(threads))
        return cls(folder, model, provider=transformer.provider, skipped=transformer.skipped)

    # --- words ------------------------------------------------------------------------------------------------

    def read(self, prompt):
        """Return the Reading of a prompt; "" is a prompt too, of a picture of which nothing is said.

        Raises:
            InputError: it is no text.
        """
        text = self._name_emoji(plain_text("prompt", prompt))
        unknown = self.tokenizer.unknown_characters(text)
        # of new emoji nothing is known, and a tone alone is no sign of its own
        symbols = [c for c in text if unicodedata.category(c) in ("So", "Cn") or "\U0001f3fb" <= c <= "\U0001f3ff"]
        encoding = self.tokenizer.raw.encode(text, add_special_tokens=False)
        known = [
            span for id_, span in zip(encoding.ids, encoding.offsets, strict=True) if id_ != self.tokenizer.unknown_id
        ]
        cut = [text[start:end] for start, end in known[self._length - 1 :]]
        return Reading(text.strip() if known else "", list(dict.fromkeys([*unknown, *symbols])), cut)

    @cached_property
    def _emoji(self):
        """Return emoji -> name, and what finds one of them, with a skin tone after each of its parts or none."""
        names = read_json(self.folder.file("emoji.json")) if "emoji.json" in self.folder.files else {}
        tones = f"[{''.join(_TONES)}]?"
        longest = sorted(names, key=len, reverse=True)
        spelled = ("".join(re.escape(c) + tones for c in text) for text in longest)
        return names, re.compile("|".join(spelled) or "(?!)")

    def _name_emoji(self, prompt):
        """Replace emoji by their names, and their skin tones."""
        plain = prompt.replace("\ufe0f", "")
        if plain.isascii():  # digits are parts of emoji, too
            return plain
        names, pattern = self._emoji

        def name(match):
            text = match.group()
            if text.isascii():
                return text
            tones = [_TONES[c] for c in text if c in _TONES][:1]
            return f" {', '.join([names[''.join(c for c in text if c not in _TONES)], *tones])} "

        return pattern.sub(name, plain)

    def _encode(self, texts):
        """Return input_ids and attention_mask (texts, max_tokens) int64; unknown words are left out."""
        ids = np.full((len(texts), self._length), self._end, np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            known = [i for i in self.tokenizer.encode(text) if i != self.tokenizer.unknown_id][: self._length - 1]
            ids[row, : len(known)], mask[row, : len(known) + 1] = known, 1
        return ids, mask

    # --- pictures ---------------------------------------------------------------------------------------------

    def stream(
        self,
        prompt,
        *,
        num_images=4,
        steps=None,
        guidance=None,
        seed=None,
        sampler=None,
        variation_of=None,
        strength=0.5,
    ):
        """Draw pictures of a prompt; closing the generator stops the work after the step.

        Args:
            prompt: a text; "" for a picture of which nothing is said.
            num_images: pictures.
            steps, guidance, sampler: see sampler.sample and sampler.guided; None is the model's own.
            seed: of the first picture, the others have the next ones; None draws one. A picture depends on its own
                seed alone, not on its company.
            variation_of: seed of a picture whose noise is begun with; None for fresh noise.
            strength: how far the seeds lead away from that noise, 0 to 1.

        Yields:
            Progress after each step.

        Raises:
            InputError: names the field that is wrong.
        """
        seed = int(np.random.default_rng().integers(MAX_SEED // 2)) if seed is None else seed
        check(num_images=num_images, seed=seed, strength=strength)
        seeds = [seed + i for i in range(num_images)]
        reading = self.read(prompt)
        noise = np.stack([self.noise(s, variation_of=variation_of, strength=strength) for s in seeds])
        options = {"steps": steps, "guidance": guidance, "sampler": sampler}
        for step, steps, images in self._draw([reading.text] * num_images, noise, **options):  # noqa: B020
            yield Progress(step, steps, images, seeds, reading, self.provider)

    def generate(self, prompt, **options):
        """Return a list of PIL images; the arguments are those of ``stream``."""
        *_, last = self.stream(prompt, **options)
        return [Image.fromarray(image) for image in last.images]

    def draw(self, prompts, seeds, *, steps=None, guidance=None, sampler=None, together=BATCH):
        """Draw a picture of each prompt.

        Args:
            prompts: list of str.
            seeds: of each.
            steps, guidance, sampler: as in ``stream``.
            together: pictures of a batch.

        Returns:
            (prompts, height, width, 3) uint8.
        """
        drawn = []
        for first in range(0, len(prompts), together):
            part = slice(first, first + together)
            texts = [self.read(prompt).text for prompt in prompts[part]]
            noise = np.stack([self.noise(seed) for seed in seeds[part]])
            *_, (_, _, images) = self._draw(texts, noise, steps=steps, guidance=guidance, sampler=sampler)
            drawn.append(images)
        return np.concatenate(drawn) if drawn else np.zeros((0, *self.size, 3), np.uint8)

    def noise(self, seed, *, variation_of=None, strength=0.5):
        """Return the noise (3, height, width) float32 with which a picture begins."""
        check(seed=seed, strength=strength)
        own = np.random.default_rng(seed).standard_normal((3, *self.size), np.float32)
        if variation_of is None or variation_of == seed:
            return own
        check(variation_of=variation_of)
        begun = np.random.default_rng(variation_of).standard_normal((3, *self.size), np.float32)
        return np.float32((1 - strength**2) ** 0.5) * begun + np.float32(strength) * own

    def _draw(self, texts, noise, *, steps, guidance, sampler):
        """Yield (steps done, steps, images (count, height, width, 3) uint8) of texts and noise (count, 3, …)."""
        steps = self.defaults["steps"] if steps is None else steps
        guidance = self.defaults["guidance"] if guidance is None else guidance
        sampler = sampler or self.defaults["sampler"]
        check(steps=steps, guidance=guidance, sampler=sampler)
        asked = [text for text in texts if text]
        alone = guidance == 1 or not asked  # nothing to be led away from
        different = list(dict.fromkeys(texts if alone else [*texts, ""]))
        encoded = self.model.encode(*self._encode(different))
        rows = [different.index(text) for text in texts] + ([] if alone else [different.index("")] * len(texts))
        held = self.model.hold(tuple(values[rows] for values in encoded))
        count = len(texts)

        def denoise(z, t):
            both = z if alone else np.concatenate([z, z])
            expected = self.model.denoise(both, np.full(len(both), t, np.float32), held)
            expected = expected if alone else guided(expected[:count], expected[count:], np.float32(guidance))
            return expected.clip(-1, 1)

        for step, expected in enumerate(sample(denoise, noise, steps=steps, sampler=sampler), 1):
            yield step, steps, ((expected + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)


def check(**values):
    """Refuse what cannot be drawn with.

    Raises:
        InputError: names the first field that is wrong.
    """
    for name, value in values.items():
        if name == "sampler":
            if value not in SAMPLERS:
                raise InputError(name, f"{str(value)[:40]!r}; choose of {', '.join(SAMPLERS)}")
            continue
        low, high, whole = _RANGES[name]
        kinds = int | np.integer if whole else int | float | np.number
        number = isinstance(value, kinds) and not isinstance(value, bool)
        if not number or not low <= value <= high:
            raise InputError(name, f"{str(value)[:40]!r}; give a {'whole ' * whole}number from {low} to {high}")


# field -> least, largest, whole
_RANGES = {
    "num_images": (1, 64, True),
    "steps": (1, 1000, True),
    "guidance": (0, 100, False),
    "seed": (0, MAX_SEED, True),
    "variation_of": (0, MAX_SEED, True),
    "strength": (0, 1, False),
}
