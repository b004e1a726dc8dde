"""Judges of drawn pictures, trained here on real pictures alone; no generator has a part in them.

Three small networks, each a convolutional stem and a vision transformer at the generator's size:

    classifier   which thing a picture shows, in which style; its features are what the Fréchet distance compares
    matcher      how well a caption fits a picture, by which a picture's own caption is found among others
    scenes       of a composition of two: what is left or above, what is right or below, and which of both it is

They see the pictures of the training, moved a little, with noise and blur, so that a drawing is not judged by its
finest grain. Unlike a generator they see every composition: the judge of scenes has to know those that are kept from
it. Whatever they say of drawings stands beside what they say of real pictures that they have not seen.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

from bigmodel.config import VisionConfig, read_json
from bigmodel.errors import ConfigError
from bigmodel.nn.checkpoint import read_weights, write_weights
from bigmodel.nn.vision import Stem, VisionTransformer, initialise
from bigmodel.text_to_image.captions import TONES, canonical
from bigmodel.text_to_image.data import encode, make_tokenizer, resized, to_pixels
from bigmodel.training.loop import Trainer
from bigmodel.training.settings import TrainingSettings
from bigmodel.training.state import load_state
from bigmodel.training.tokenizer import save_tokenizer

SEED = 0  # of weights, order and augmentation
WIDTH = 128
MAX_TOKENS = 32  # of a caption: the style of the longest is its last word
SCENES = 20_000  # composed to train on
STEPS = {"classifier": 1500, "matcher": 700, "scenes": 1000}
BATCH = {"classifier": 128, "matcher": 256, "scenes": 128}
SMOOTHING = 0.1  # share of a thing's label that is spread over all
SHIFT, NOISE = 1 / 16, 0.06  # of the side, of half the range of grey levels: at most
AT_ONCE = 256  # pictures judged at once


# --- networks -------------------------------------------------------------------------------------------------


class PictureEncoder(nn.Module):
    """Stem and vision transformer; the mean of the tokens is what heads read.

    Args:
        size: pixels of a picture's side, a multiple of 8.
    """

    def __init__(self, size):
        super().__init__()
        config = VisionConfig(
            image_size=(size, size),
            num_channels=3,
            stem_channels=(32, 64, 128, 128),
            stem_strides=(2, 2, 1, 2),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
        )
        self.stem, self.vit = Stem(config), VisionTransformer(config)

    def forward(self, pixel_values):
        """Map pixel_values (batch, 3, size, size) in -1..1 to features (batch, WIDTH)."""
        return self.vit(self.stem(pixel_values))[:, 1:].mean(1)


class Classifier(nn.Module):
    """Says style and name of what a picture shows.

    Args:
        size: pixels of a picture's side.
        styles, names: how many there are.
    """

    def __init__(self, size, styles, names):
        super().__init__()
        self.encoder = PictureEncoder(size)
        self.style_embed, self.name_embed = nn.Linear(WIDTH, styles), nn.Linear(WIDTH, names)
        initialise(self)

    def forward(self, pixel_values):
        """Return logits of styles (batch, styles) and names (batch, names), and features (batch, WIDTH)."""
        features = self.encoder(pixel_values)
        return self.style_embed(features), self.name_embed(features), features

    def loss(self, pixel_values, styles, names):
        """Return the sum of both cross-entropies in nats; styles and names (batch,) int64."""
        style, name, _ = self(pixel_values)
        return F.cross_entropy(style, styles) + F.cross_entropy(name, names, label_smoothing=SMOOTHING)


class Matcher(nn.Module):
    """Puts pictures and captions into one space, where what belongs together is near; a caption is its words' mean.

    Args:
        size: pixels of a picture's side.
        vocabulary: words.

    Source: Radford et al. 2021, arXiv:2103.00020 (CLIP).
    """

    def __init__(self, size, vocabulary):
        super().__init__()
        self.encoder = PictureEncoder(size)
        self.picture_proj = nn.Linear(WIDTH, WIDTH)
        self.text_embed = nn.Embedding(vocabulary, WIDTH)
        self.text_proj = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        initialise(self)
        self.scale = nn.Parameter(torch.tensor(10.0).log())  # of similarities, as a logarithm

    def see(self, pixel_values):
        """Return pictures as vectors of length 1, (batch, WIDTH)."""
        return F.normalize(self.picture_proj(self.encoder(pixel_values)), dim=-1)

    def read(self, input_ids, attention_mask):
        """Return captions (batch, tokens) as vectors of length 1, (batch, WIDTH)."""
        share = attention_mask / attention_mask.sum(1, keepdim=True)
        words = (self.text_embed(input_ids) * share[..., None]).sum(1)
        return F.normalize(self.text_proj(words), dim=-1)

    def loss(self, pixel_values, input_ids, attention_mask, groups):
        """Return the mean cross-entropy in nats of finding captions by pictures and pictures by captions.

        Args:
            pixel_values: (batch, 3, size, size).
            input_ids, attention_mask: (batch, tokens).
            groups: (batch,) int64, equal for equal captions, any of which is right.
        """
        similar = self.scale.exp() * (self.see(pixel_values).float() @ self.read(input_ids, attention_mask).float().T)
        same = (groups[:, None] == groups).float()
        targets = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(similar, targets) + F.cross_entropy(similar.T, targets)) / 2


class SceneJudge(nn.Module):
    """Says what a composition of two things shows where.

    "A left of B" and "B right of A" are one picture and one answer: side by side or one above the other, what is left
    or above, and what is right or below.

    Args:
        size: pixels of a picture's side.
        things: how many there are.
    """

    def __init__(self, size, things):
        super().__init__()
        self.encoder = PictureEncoder(size)
        self.order_embed = nn.Linear(WIDTH, 2)
        self.first_embed, self.second_embed = nn.Linear(WIDTH, things), nn.Linear(WIDTH, things)
        initialise(self)

    def forward(self, pixel_values):
        """Return logits of the order (batch, 2), and of the first and second thing (batch, things)."""
        features = self.encoder(pixel_values)
        return self.order_embed(features), self.first_embed(features), self.second_embed(features)

    def loss(self, pixel_values, *labels):
        """Return the sum of the cross-entropies in nats; labels are three (batch,) int64."""
        return sum(F.cross_entropy(*pair) for pair in zip(self(pixel_values), labels, strict=True))


def placed(scene):
    """Return what SceneJudge says of a Scene of two: order (0 side by side, 1 above each other) and two names."""
    names = [subject.name for subject in scene.subjects]
    if scene.relation in ("right of", "below"):
        names.reverse()
    return int(scene.relation in ("above", "below")), *names


# --- pictures to train on -------------------------------------------------------------------------------------


def augment(images, rng):
    """Return pictures moved, blurred and with noise, each a little and differently.

    Args:
        images: (count, size, size, 3) uint8.
        rng: np.random.Generator.

    Returns:
        (count, 3, size, size) float32 in about -1..1.
    """
    count, size = images.shape[:2]
    reach = max(1, round(size * SHIFT))
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    starts = rng.integers(0, 2 * reach + 1, (count, 2))
    moved = np.stack([padded[i, y : y + size, x : x + size] for i, (y, x) in enumerate(starts)])
    pixels = to_pixels(moved)
    blur = torch.from_numpy(rng.uniform(-0.5, 0.5, (count, 1, 1, 1)).clip(0).astype(np.float32))  # half of them: none
    pixels = pixels.lerp(F.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False), blur)
    noise = rng.standard_normal(pixels.shape, np.float32) * rng.uniform(0, NOISE, (count, 1, 1, 1)).astype(np.float32)
    return pixels + torch.from_numpy(noise)


class AugmentedBatches:
    """Batches of augmented pictures and what is to be said of them, each a function of its step.

    Every picture comes once an epoch, in a new order.

    Args:
        images: (count, size, size, 3) uint8.
        labels: arrays (count, …), int64.
        batch_size: pictures.
    """

    unit = "pictures"

    def __init__(self, images, labels, batch_size):
        self.images, self.labels = images, labels
        self.batch_size = min(batch_size, len(images))

    @property
    def tokens_per_step(self):
        """Pictures of a batch."""
        return self.batch_size

    def batch(self, step, rank=0, world=1):
        """Return pixel_values (batch_size / world, 3, size, size) float32 and a tensor of each label."""
        share = self.batch_size // world
        epoch, position = divmod(step, len(self.images) // self.batch_size)
        order = np.random.default_rng((SEED, epoch)).permutation(len(self.images))
        chosen = order[position * self.batch_size :][rank * share : (rank + 1) * share]
        pixels = augment(self.images[chosen], np.random.default_rng((SEED, step, rank)))
        return pixels, *(torch.from_numpy(values[chosen]) for values in self.labels)


# --- judges ---------------------------------------------------------------------------------------------------


@dataclass
class Judges:
    """The three judges of a corpus at one size; each is trained when it is first asked, and kept.

    Args:
        folder: where they are kept, each in a folder of its own.
        pictures: list of data.Picture, of the training.
        composer: compositions.Composer of these; its size is the judges'.
        steps: of each training; None for STEPS.

    Raises:
        ConfigError: the folder holds judges of other pictures.
    """

    folder: Path
    pictures: list
    composer: object
    steps: int | None = None

    @property
    def size(self):
        """Pixels of a picture's side."""
        return self.composer.size

    @cached_property
    def images(self):
        """The training's pictures at the judges' size, (count, size, size, 3) uint8."""
        return stacked(self.pictures, self.size)

    @cached_property
    def styles(self):
        """Styles of the pictures, in the order of the classifier's answers."""
        return sorted({picture.style for picture in self.pictures})

    @cached_property
    def names(self):
        """Names of what the pictures show, in the order of the classifier's answers."""
        return sorted({picture.subject.name for picture in self.pictures})

    @cached_property
    def things(self):
        """Names of what is composed, in the order of the judge of scenes' answers."""
        return sorted(self.composer.subjects)

    @cached_property
    def tokenizer(self):
        """The matcher's own."""
        path = self.folder / "matcher" / "tokenizer.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tokenizer(make_tokenizer(self.pictures), path.parent)
        return Tokenizer.from_file(str(path))

    @cached_property
    def classifier(self):
        """Classifier."""
        counts = len(self.styles), len(self.names)

        def examples():
            labels = (numbers([p.style for p in self.pictures], self.styles),)
            labels += (numbers([p.subject.name for p in self.pictures], self.names),)
            return self.images, labels

        about = {"styles": self.styles, "names": self.names}
        return self._trained("classifier", lambda: Classifier(self.size, *counts), about, examples)

    @cached_property
    def matcher(self):
        """Matcher."""
        about = {"vocabulary": self.tokenizer.get_vocab_size()}

        def examples():
            captions = [picture.caption for picture in self.pictures]
            groups = np.unique(captions, return_inverse=True)[1]
            return self.images, (*encode(self.tokenizer, captions, MAX_TOKENS), groups)

        return self._trained("matcher", lambda: Matcher(self.size, **about), about, examples)

    @cached_property
    def scenes(self):
        """SceneJudge."""

        def examples():
            rng = np.random.default_rng(0)
            scenes = [self.composer.draw(rng, count=2, held_out=i % 4 == 0) for i in range(SCENES)]
            images = np.stack([self.composer.compose(scene, rng) for scene in scenes])
            order, *things = zip(*(placed(scene) for scene in scenes), strict=True)
            return images, (np.array(order), *(numbers(names, self.things) for names in things))

        about = {"things": self.things}
        return self._trained("scenes", lambda: SceneJudge(self.size, len(self.things)), about, examples)

    def _trained(self, name, make, about, examples):
        """Return a judge, ready to judge: read from its folder, or trained and written there first.

        Args:
            name: of the judge and its folder.
            make: function that returns it with fresh weights.
            about: what it is a judge of, as config.json keeps it.
            examples: function that returns images and labels to train on.
        """
        folder, about = self.folder / name, {"size": self.size, "pictures": len(self.pictures), **about}
        torch.manual_seed(SEED)
        model = make()
        if not (folder / "config.json").exists():
            steps = self.steps or STEPS[name]
            settings = TrainingSettings(max_steps=steps, learning_rate=4e-3, ema=0.995, validate_every=steps, seed=SEED)
            batches = AugmentedBatches(*examples(), BATCH[name])
            trainer = Trainer(model, batches, settings, folder, validate=lambda _: {"loss": 0.0})  # the last weights
            trainer.run()
            write_weights(folder, about, load_state(folder / "best.pt")["model"], dtype=torch.float32)
        if {**read_json(folder / "config.json"), **about} != read_json(folder / "config.json"):
            raise ConfigError(f"{folder} holds a judge of other pictures; choose another folder by --judges")
        model.load_state_dict(read_weights(folder)[1])
        return model.cpu().eval()

    # --- what they say ------------------------------------------------------------------------------------

    def classify(self, images):
        """Classify images (count, size, size, 3) uint8.

        Returns:
            styles, names: lists of str.
            features: (count, WIDTH) float32.
        """
        styles, names, features = _seen(self.classifier, images)
        return [self.styles[i] for i in styles.argmax(1)], [self.names[i] for i in names.argmax(1)], features

    def see(self, images):
        """Return images (count, size, size, 3) uint8 as the matcher's vectors, (count, WIDTH) float32."""
        matcher = self.matcher
        return _seen(lambda pixels: (matcher.see(pixels),), images)[0]

    def read(self, captions):
        """Return captions, a list of str, as the matcher's vectors, (captions, WIDTH) float32."""
        ids, mask = (torch.from_numpy(values) for values in encode(self.tokenizer, captions, MAX_TOKENS))
        return self.matcher.read(ids, mask).detach().numpy()

    def tone_of(self, images, pictures):
        """Return of images the skin tones whose captions fit best, of captions.TONES or "".

        Args:
            images: (count, size, size, 3) uint8.
            pictures: list of data.Picture that they ought to be, which name thing and style.
        """
        tones = ["", *TONES]
        seen = self.see(images)
        captions = [canonical(p.subject.name, p.style, tone) for p in pictures for tone in tones]
        read = self.read(captions).reshape(len(images), len(tones), -1)
        return [tones[i] for i in np.einsum("id,itd->it", seen, read).argmax(1)]

    def place(self, images):
        """Return of each composition (count, size, size, 3) uint8 what ``placed`` says of its scene."""
        order, first, second = (logits.argmax(1) for logits in _seen(self.scenes, images))
        return [(int(o), self.things[a], self.things[b]) for o, a, b in zip(order, first, second, strict=True)]


@torch.inference_mode()
def _seen(judge, images):
    """Return the answers of a judge, arrays (count, …) float32, to images (count, size, size, 3) uint8."""
    parts = [judge(to_pixels(images[i : i + AT_ONCE])) for i in range(0, len(images), AT_ONCE)]
    return [torch.cat(answers).float().numpy() for answers in zip(*parts, strict=True)]


def stacked(pictures, size):
    """Return Pictures as one array (count, size, size, 3) uint8."""
    return np.stack([resized(picture.image, size) for picture in pictures])


def numbers(words, known):
    """Return the places (count,) int64 of words in a list of those that are known."""
    places = {word: i for i, word in enumerate(known)}
    return np.array([places[word] for word in words], np.int64)
