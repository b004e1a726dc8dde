"""From a parquet to batches: splits, words, compositions that are what their captions say."""

import dataclasses
import shutil
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from bigmodel.errors import DataError  # noqa: E402
from bigmodel.text_to_image import data  # noqa: E402
from bigmodel.text_to_image.captions import (  # noqa: E402
    COLOURS,
    RELATIONS,
    REVERSED,
    STYLES,
    TONES,
    Subject,
    is_held_out,
)
from bigmodel.text_to_image.compositions import Composer, Scene  # noqa: E402
from bigmodel.text_to_image.config import emoji, emoji_order  # noqa: E402
from bigmodel.text_to_image.data import (  # noqa: E402
    CaptionedBatches,
    Picture,
    encode,
    load_tokenizer,
    make_tokenizer,
    read_pictures,
    resized,
    to_pixels,
)

RED, GREEN = (250, 10, 10), (10, 250, 10)
SIZE = 32


def on_white(colour, style="noto", **subject):
    image = np.full((64, 64, 3), 255, np.uint8)
    image[8:56, 12:52] = colour
    return Picture(image, Subject(**subject), style, "1f431")


@pytest.fixture(scope="module")
def composer():
    """Of a red and a green thing, and a blue one that nobody asks for."""
    things = (("cat face", RED), ("rose", GREEN), ("rocket", (10, 10, 250)))
    return Composer([on_white(colour, name=name) for name, colour in things], [name for name, _ in things], SIZE)


def centre(image, colour):
    """Return where (x, y) what has a colour is, in the mean."""
    rows, columns = np.nonzero((np.abs(image.astype(int) - colour) < 60).all(-1))
    return np.array([columns.mean(), rows.mean()])


# --- reading --------------------------------------------------------------------------------------------------


def test_splits_do_not_share_a_picture(corpus, emoji_pictures):
    read = {split: read_pictures(corpus, split) for split in ("train", "valid", "test_style", "test_tone", "test_name")}
    assert [len(pictures) for pictures in read.values()] == [10, 3, 4, 2, 3]
    captions = [picture.caption for split in ("train", "valid") for picture in read[split]]
    assert len(set(captions)) == len(captions)
    first = read["train"][0]
    assert np.array_equal(first.image, emoji_pictures[0].image) and first.caption == "cat face, noto style"
    assert first.subject.keywords == ("cat", "pet") and first.codepoints == "1f431"
    assert {picture.subject.tone for picture in read["test_tone"]} == {"dark skin tone"}
    with pytest.raises(DataError, match="no pictures of the split test"):
        read_pictures(corpus, "test")


def test_chinese_names_are_those_of_the_character(tmp_path):
    pytest.importorskip("emoji")
    names = data.chinese_names(tmp_path / "a.parquet")
    assert names[data.character("1f431")] == "猫脸"
    assert data.character("1f441-fe0f") in names  # without what only says how it is shown
    assert not any(":" in name or "_" in name for name in names.values())


def test_chinese_names_come_from_a_file_where_their_package_is_missing(corpus, tmp_path, monkeypatch):
    copied = shutil.copyfile(corpus, tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "emoji", None)
    with pytest.raises(DataError, match="a.chinese.json, or: pip install emoji"):
        read_pictures(copied, "train")
    data.names_file(copied).write_text('{"🐱": "猫"}', encoding="utf-8")
    assert read_pictures(copied, "train")[0].subject.chinese == "猫"


def test_own_drawings_need_a_name_and_a_style_alone(tmp_path, emoji_pictures, write_corpus, as_row):
    rows = [as_row(picture, "train", style="crayon") for picture in emoji_pictures[:5]]
    own = [{"image": {"bytes": row["image"], "path": "a.png"}, "name": row["name"], "style": "crayon"} for row in rows]
    write_corpus(tmp_path / "own.parquet", own)
    read = {split: read_pictures(tmp_path / "own.parquet", split) for split in ("train", "valid")}
    assert [len(pictures) for pictures in read.values()] == [4, 1]  # chance alone would keep none
    least = min(own, key=data._hash)
    assert read["valid"][0].subject.name == least["name"] and read["valid"][0].codepoints == ""
    tokenizer = make_tokenizer(read["train"])
    assert words(tokenizer, "crayon style") == ["crayon", "style", "<|endoftext|>"]


def test_several_drawings_of_a_thing_are_not_all_kept_from_training(tmp_path, emoji_pictures, write_corpus, as_row):
    named = (f"thing {i}" for i in range(100 * data.VALID_SHARE))
    kept = [name for name in named if data._is_valid({"name": name, "style": "crayon"})][:2]
    rows = [as_row(picture, "train", name=kept[0], style="crayon") for picture in emoji_pictures * 10]
    rows += [as_row(emoji_pictures[0], "train", name=name, style="crayon") for name in (kept[1], "rose")]
    write_corpus(tmp_path / "own.parquet", rows)
    train, valid = (read_pictures(tmp_path / "own.parquet", split) for split in ("train", "valid"))
    assert len(train) + len(valid) == len(rows) and {p.subject.name for p in train} == {*kept, "rose"}
    assert {p.subject.name for p in valid} == {kept[0]} and len(valid) < 10


def test_where_chance_keeps_none_it_is_of_a_thing_with_several(tmp_path, emoji_pictures, write_corpus, as_row):
    for several in emoji_pictures[:5]:  # one of five has the least hash by itself
        rows = [as_row(picture, "train", style="crayon") for picture in (*emoji_pictures[:5], several)]
        write_corpus(tmp_path / "own.parquet", rows)
        (valid,) = read_pictures(tmp_path / "own.parquet", "valid")
        assert valid.subject.name == several.subject.name


def test_large_drawings_are_shrunk_and_keep_their_proportions(tmp_path, emoji_pictures, write_corpus, as_row):
    large = np.full((200, 400, 3), 255, np.uint8)
    large[50:150, 100:300] = RED
    pictures = [dataclasses.replace(emoji_pictures[0], image=image) for image in (large, emoji_pictures[0].image)]
    write_corpus(tmp_path / "own.parquet", [as_row(picture, "test_name") for picture in pictures])
    whole, small = (read_pictures(tmp_path / "own.parquet", "test_name", size) for size in (None, SIZE))
    assert np.array_equal(whole[0].image, large) and small[0].image.shape == (64, 128, 3)
    assert np.array_equal(small[1].image, pictures[1].image)  # is no larger
    assert (small[0].image[:15] == 255).all() and tuple(small[0].image[32, 64]) == RED


def test_the_first_keyword_stays_unless_it_is_the_name(tmp_path, emoji_pictures, write_corpus, as_row):
    row = as_row(emoji_pictures[0], "test_name")
    keywords = ("cat face, pet", "Cat-Face, pet", "pet, animal", "", None)
    write_corpus(tmp_path / "own.parquet", [{**row, "keywords": text} for text in keywords])
    found = [picture.subject.keywords for picture in read_pictures(tmp_path / "own.parquet", "test_name")]
    assert found == [("pet",), ("pet",), ("pet", "animal"), (), ()]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"codepoints": "cat"}, "row 1: the column codepoints holds 'cat'"),
        ({"codepoints": "ffffffff"}, "row 1: the column codepoints holds 'ffffffff'"),
        ({"name": None}, "row 1: the column name holds None; give a text"),
        ({"style": ""}, "row 1: the column style holds ''; give a text"),
        ({"keywords": ["a", "b"]}, "row 1: the column keywords holds"),
        ({"image": None}, "row 1: the column image holds no encoded picture"),
        ({"image": b"none"}, "own.parquet, row 1 cannot be read"),
    ],
)
def test_a_value_that_is_none_is_named(tmp_path, emoji_pictures, write_corpus, as_row, values, message):
    write_corpus(tmp_path / "own.parquet", [{**as_row(emoji_pictures[0], "test_name"), **values}])
    with pytest.raises(DataError, match=message):
        read_pictures(tmp_path / "own.parquet", "test_name")


def test_codepoints_may_be_missing(tmp_path, emoji_pictures, write_corpus, as_row):
    assert data.character("") == ""
    row = as_row(emoji_pictures[0], "test_name")
    write_corpus(tmp_path / "own.parquet", [{**row, "codepoints": text} for text in ("", None)])
    assert [p.codepoints for p in read_pictures(tmp_path / "own.parquet", "test_name")] == ["", ""]


# --- words ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(emoji_pictures):
    return make_tokenizer(emoji_pictures)


def words(tokenizer, caption, length=20):
    """Return the words of a caption that a model reads."""
    ids, mask = encode(tokenizer, [caption], length)
    return [tokenizer.id_to_token(i) for i in ids[0, : mask[0].sum()]]


def test_every_word_of_a_caption_is_known(tokenizer, emoji_pictures):
    every = [*STYLES, *TONES, *COLOURS, *RELATIONS, *(p.subject.name for p in emoji_pictures)]
    for text in [*every, *TONES.values(), *(text for text, _ in COLOURS.values()), *(t for t, _ in RELATIONS.values())]:
        assert "<|unk|>" not in tokenizer.encode(text, add_special_tokens=False).tokens, text
    assert words(tokenizer, "A Cat-Face, NOTO style!") == ["a", "cat", "face", "noto", "style", "<|endoftext|>"]
    assert words(tokenizer, "猫脸，noto风格")[:2] == ["猫", "脸"]
    assert words(tokenizer, "café rocket") == ["rocket", "<|endoftext|>"]


def test_words_that_no_caption_had_are_left_out(tokenizer):
    assert words(tokenizer, "cat zeppelin face") == words(tokenizer, "cat face")
    assert "whiskers" not in tokenizer.get_vocab() and "bird" not in tokenizer.get_vocab()  # of one thing alone
    assert "space" in tokenizer.get_vocab()  # keyword of several


def test_captions_as_arrays(tokenizer):
    end = tokenizer.token_to_id("<|endoftext|>")
    ids, mask = encode(tokenizer, ["", "rose", "rose " * 50], 6)
    assert ids.dtype == mask.dtype == np.int64 and ids.shape == mask.shape == (3, 6)
    assert mask.sum(1).tolist() == [1, 2, 6] and (ids[0] == end).all()
    assert ids[2].tolist() == [tokenizer.token_to_id("rose")] * 5 + [end]


@pytest.fixture
def own(tmp_path):
    """Return a function of pictures, and what a run begins with, that loads the tokenizer of one run of them."""

    def load(pictures, init_from=None):
        source = tmp_path / "own.parquet"
        source.write_text(" ".join(picture.caption for picture in pictures))
        config = dataclasses.replace(emoji(), corpus=source.name, init_from=init_from)
        return load_tokenizer(config, pictures, tmp_path / "run" / "tokens", source)

    return load


def test_a_run_that_has_not_begun_follows_its_corpus(own, tmp_path, emoji_pictures):
    assert "zeppelin" not in own(emoji_pictures).get_vocab()
    more = [*emoji_pictures, on_white(RED, name="zeppelin")]
    assert "zeppelin" in own(more).get_vocab()
    (tmp_path / "run" / "checkpoint.pt").touch()
    assert "zeppelin" in own(emoji_pictures).get_vocab()  # weights fit this one


def test_things_that_no_word_tells_apart_are_named(own, tmp_path, tokenizer, emoji_pictures):
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    more = [*emoji_pictures, on_white(RED, name="red zeppelin"), on_white(RED, name="!")]  # known in part; wordless
    assert own(more, tmp_path).to_str() == tokenizer.to_str()
    shutil.rmtree(tmp_path / "run")
    more += [on_white(RED, name=f"zeppelin{i} x") for i in range(6)]
    with pytest.raises(DataError, match=r"own.parquet: .*knows no word of zeppelin0 x, .*4 x …; train without"):
        own(more, tmp_path)
    assert not (tmp_path / "run").exists()  # where one may train without


# --- compositions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relation", RELATIONS)
def test_things_are_where_the_relation_says(composer, relation):
    scene = Scene((composer.subjects["cat face"], composer.subjects["rose"]), relation, "noto", "white")
    axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[relation]
    for seed in range(20):
        image = composer.compose(scene, np.random.default_rng(seed))
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
        apart = centre(image, RED) - centre(image, GREEN)
        assert sign * apart[axis] > SIZE / 3 and abs(apart[1 - axis]) < SIZE / 3


def test_three_things_stand_from_left_to_right_on_their_ground(composer):
    names = ("rose", "rocket", "cat face")
    scene = Scene(tuple(composer.subjects[name] for name in names), None, "noto", "black")
    image = composer.compose(scene, np.random.default_rng(0))
    places = [centre(image, colour)[0] for colour in (GREEN, (10, 10, 250), RED)]
    assert places == sorted(places) and tuple(image[0, 0]) == COLOURS["black"][1]
    assert scene.caption == "a rose, a rocket and a cat face, noto style, on black" and not scene.held_out


def test_what_is_held_out_is_never_composed_for_a_training():
    things = [f"thing {i}" for i in range(12)]
    composer = Composer([on_white(RED, name=name) for name in things], things, SIZE)
    rng = np.random.default_rng(0)
    drawn = [composer.draw(rng) for _ in range(3000)]
    assert not any(scene.held_out for scene in drawn)
    assert {len(scene.subjects) for scene in drawn} == {1, 2, 3}
    assert all((scene.relation is not None) == (len(scene.subjects) == 2) for scene in drawn)
    assert all(composer.draw(rng, count=2, held_out=True).held_out for _ in range(50))
    for scene in drawn:
        if len(scene.subjects) == 3:
            left, middle, right = (subject.name for subject in scene.subjects)
            pairs = (left, middle), (left, right), (middle, right)
            assert not any(is_held_out(a, "left of", b) for a, b in pairs)


def test_a_lesson_names_first_what_comes_first():
    lesson, things = emoji_order(), [f"thing {i}" for i in range(12)]
    composer = Composer([on_white(RED, name=name) for name in things], things, SIZE, lesson.counts, lesson.in_order)
    rng = np.random.default_rng(0)
    drawn = [composer.draw(rng) for _ in range(2000)]
    told = Counter(scene.relation for scene in drawn)
    # three things are held out more often than two
    assert not any(scene.held_out for scene in drawn) and 0.15 < told[None] / 2000 < lesson.counts[2]
    turned = sum(told[relation] for relation in REVERSED) / (2000 - told[None])
    assert turned == pytest.approx(0.5 * (1 - lesson.in_order), abs=0.02) and len(told) == 5


def test_things_that_are_never_kept_apart():
    things = ["cat face", "dog face", "frog"]
    composer = Composer([on_white(RED, name=name) for name in things], things, SIZE)
    scene = composer.draw(np.random.default_rng(0), count=2, held_out=True)
    assert not scene.held_out and len(scene.subjects) == 2


def test_too_few_things_are_refused():
    with pytest.raises(DataError, match="no style has three of the things cat face"):
        Composer([on_white(RED, name="cat face")], ["cat face", "rose"], SIZE)


def test_things_that_are_all_kept_apart_are_refused():
    things = ["bear", "guitar", "penguin"]
    with pytest.raises(DataError, match="every pair of bear, guitar, penguin … is kept from training"):
        Composer([on_white(RED, name=name) for name in things], things, SIZE)


# --- batches --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def make_batches(emoji_pictures, tokenizer):
    config = dataclasses.replace(emoji(), batch_size=12)
    composer = Composer(emoji_pictures, config.things, SIZE)
    return lambda: CaptionedBatches(config, emoji_pictures, composer, tokenizer)


def test_an_epoch_counts_what_is_composed(make_batches):
    batches = make_batches()
    assert batches.tokens_of_corpus == round(10 / 0.5)
    batches.config = dataclasses.replace(batches.config, composed=1.0)
    assert batches.tokens_of_corpus is None


def test_batches_are_a_function_of_their_step(make_batches):
    batches, length = make_batches(), emoji().shape.max_tokens
    for step in range(3):
        batches.batch(step)
    again = make_batches().batch(3)
    for ours, theirs in zip(batches.batch(3), again, strict=True):
        assert torch.equal(ours, theirs)
    pixel_values, input_ids, mask = again
    assert pixel_values.shape == (12, 3, SIZE, SIZE) and input_ids.shape == mask.shape == (12, length)
    assert -1 <= pixel_values.min() < pixel_values.max() <= 1
    assert not torch.equal(pixel_values, make_batches().batch(4)[0])


def test_processes_share_a_batch(make_batches):
    whole, batches = make_batches().batch(1), make_batches()
    parts = zip(*(batches.batch(1, rank, 3) for rank in range(3)), strict=True)
    for ours, theirs in zip(parts, whole, strict=True):
        assert torch.equal(torch.cat(ours), theirs)


def test_some_captions_are_left_out(make_batches):
    masks = torch.cat([make_batches().batch(step)[2] for step in range(30)])
    empty = (masks.sum(1) == 1).float().mean()
    assert 0.04 < empty < 0.18


def test_pixels_are_between_minus_one_and_one():
    assert to_pixels(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)).flatten().tolist() == [-1, 1]
    assert resized(np.full((64, 64, 3), 7, np.uint8), 16).shape == (16, 16, 3)


@pytest.mark.parametrize("wide", [False, True])
def test_what_is_not_square_lies_on_white(wide):
    image = np.full((20, 60, 3), 7, np.uint8) if wide else np.full((60, 20, 3), 7, np.uint8)
    scaled = resized(image, 30)
    scaled = scaled if wide else scaled.swapaxes(0, 1)
    assert (scaled[[0, 1, 2, -3, -2, -1]] == 255).all() and (scaled[13:17] == 7).all()


def test_what_is_square_is_only_scaled():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    scaled = Image.fromarray(image).resize((24, 24), Image.Resampling.LANCZOS)
    assert np.array_equal(resized(image, 24), np.asarray(scaled))
