"""The generator on its exported graphs: seeds, company, words, steps, variations, and what is refused."""

import numpy as np
import pytest

from bigmodel.errors import InputError, ModelFolderError
from bigmodel.text_to_image.benchmark import run as benchmark
from bigmodel.text_to_image.engines import open_engine
from bigmodel.text_to_image.runtime import BATCH, ImageGenerator

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def generator(tiny_emoji):
    return ImageGenerator.from_pretrained(tiny_emoji, threads=1)


def arrays(images):
    return [np.asarray(image) for image in images]


def test_a_picture_depends_on_its_seed_alone(generator):
    four = arrays(generator.generate("a rose, noto style", num_images=4, seed=10, steps=3))
    alone = arrays(generator.generate("a rose, noto style", num_images=1, seed=12, steps=3))
    np.testing.assert_array_equal(four[2], alone[0])
    assert len({image.tobytes() for image in four}) == 4
    mixed = generator.draw(["cat face", "a rose, noto style", ""] * BATCH, [1, 12, 3] * BATCH, steps=3)
    np.testing.assert_array_equal(mixed[1], alone[0])
    np.testing.assert_array_equal(mixed[-2], alone[0])


def test_progress(generator):
    seen = list(generator.stream("rocket", num_images=2, steps=5, seed=4, sampler="heun"))
    assert [p.step for p in seen] == [1, 2, 3, 4, 5] and {p.steps for p in seen} == {5}
    assert seen[0].seeds == [4, 5] and seen[0].images.shape == (2, 32, 32, 3) and seen[0].images.dtype == np.uint8
    assert not np.array_equal(seen[0].images, seen[-1].images)
    np.testing.assert_array_equal(seen[-1].images[1], np.asarray(generator.generate("rocket", seed=5, steps=5)[0]))


def test_seeds_are_drawn_where_none_is_given(generator):
    first, second = (next(generator.stream("rose", num_images=1, steps=1)).seeds[0] for _ in range(2))
    assert first != second


def test_guidance_and_captions_matter(generator):
    draw = lambda prompt, **options: np.asarray(  # noqa: E731
        generator.generate(prompt, num_images=1, seed=1, steps=3, **options)[0]
    )
    assert not np.array_equal(draw("rose, noto style"), draw("penguin, fluent style"))
    assert not np.array_equal(draw("rose", guidance=1), draw("rose", guidance=6))
    assert not np.array_equal(draw("rose", sampler="euler"), draw("rose", sampler="heun"))
    np.testing.assert_array_equal(draw("", guidance=7), draw("", guidance=1))  # nothing to be led by
    np.testing.assert_array_equal(draw("rose", guidance=0), draw("", guidance=1))


def test_variations(generator):
    draw = lambda seed, **options: np.asarray(  # noqa: E731
        generator.generate("rose", num_images=1, seed=seed, steps=3, **options)[0], int
    )
    begun = draw(7)
    np.testing.assert_array_equal(draw(8, variation_of=7, strength=0), begun)
    np.testing.assert_array_equal(draw(8, variation_of=7, strength=1), draw(8))
    np.testing.assert_array_equal(draw(7, variation_of=7, strength=0.5), begun)
    near, far = (np.abs(draw(8, variation_of=7, strength=s) - begun).mean() for s in (0.2, 1.0))
    assert 0 < near < far
    noise = generator.noise(8, variation_of=7, strength=0.6)
    assert noise.std() == pytest.approx(1, abs=0.05)


def test_onnx_draws_what_torch_draws(generator, tiny_emoji):
    torch_generator, name = open_engine("torch", tiny_emoji)
    assert name == "torch" and open_engine("onnx", tiny_emoji)[1] == "onnx-cpu"
    prompts, seeds = ["a rose, noto style", "penguin", ""], [1, 2, 3]
    ours, theirs = (g.draw(prompts, seeds, steps=4).astype(int) for g in (generator, torch_generator))
    assert np.abs(ours - theirs).mean() < 6 and theirs.std() > 10


def test_what_is_understood(generator):
    reading = generator.read("A Cat-Face, zorgle & NOTO style!")
    assert reading.unknown == ["zorgle"] and reading.cut == [] and "Cat" in reading.text
    assert generator.read("").text == "" and generator.read("zorgle qux").text == ""
    assert generator.read("🚀 and 🐱\ufe0f").text == "rocket  and  cat face"
    assert generator.read("玫瑰，noto风格").unknown == []
    assert generator.read("🦄").unknown == ["🦄"]
    assert generator.read("🏽\U0001fbff").unknown == ["🏽", "\U0001fbff"]  # a tone alone, and what is no emoji yet
    assert generator.read("rose " * 30).cut == ["rose"] * 15
    assert generator.read("<|endoftext|>").unknown == ["endoftext"]
    toned = generator.read("🌹🏾").text
    assert toned == "rose, medium-dark skin tone"


def test_unknown_words_change_nothing(generator):
    drawn = [generator.draw([prompt], [3], steps=2) for prompt in ("rose noto", "rose zorgle noto")]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize(
    "field, values",
    [
        ("num_images", (0, 65, 1.5, True, "4")),
        ("steps", (0, 1001, 2.5, float("nan"))),
        ("guidance", (-1, 101, float("inf"), "x")),
        ("seed", (-1, 2**32, 0.5)),
        ("sampler", ("magic", 3)),
        ("strength", (-0.1, 1.1)),
        ("variation_of", (-1, 2**32)),
    ],
)
def test_refused(generator, field, values):
    for value in values:
        with pytest.raises(InputError, match=field):
            list(generator.stream("rose", **{"seed": 1, "steps": 2, "num_images": 1, field: value}))


def test_no_text(generator):
    with pytest.raises(InputError, match="prompt"):
        generator.generate(3)


def test_closing_stops_the_work(generator, monkeypatch):
    calls, denoise = [], generator.model.denoise
    monkeypatch.setattr(generator.model, "denoise", lambda *inputs: calls.append(1) or denoise(*inputs))
    stream = generator.stream("rose", num_images=1, steps=50)
    next(stream)
    stream.close()
    assert len(calls) == 1


def test_rows_shared_out_among_threads_are_those_of_one(generator, tiny_emoji):
    shared = ImageGenerator.from_pretrained(tiny_emoji, threads=3)
    for count in (1, 4):
        options = {"num_images": count, "seed": 5, "steps": 3}
        for one, other in zip(generator.generate("rose", **options), shared.generate("rose", **options), strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    encoded = shared.model.encode(*shared._encode(["rose"] * 4))
    assert [rows for rows, _ in shared.model.hold(encoded)] == [slice(0, 1), slice(1, 2), slice(2, 4)]


def test_what_every_step_reads_is_placed_once(generator, monkeypatch):
    placed, model = [], generator.model
    hold = model.hold
    monkeypatch.setattr(model, "hold", lambda encoded: placed.append((encoded, hold(encoded))) or placed[-1][1])
    generator.generate("rose", num_images=2, steps=5, seed=1)
    assert len(placed) == 1
    (encoded, held), rng = placed[0], np.random.default_rng(0)
    sample = rng.standard_normal((len(encoded[0]), 3, *generator.size), np.float32)
    timestep = np.full(len(sample), 0.5, np.float32)
    feed = dict(zip(("encoder_key_values", "pooled_projections", "attention_mask"), encoded, strict=True))
    expected = model.transformer.run(None, {**feed, "sample": sample, "timestep": timestep})[0]
    np.testing.assert_array_equal(model.denoise(sample, timestep, held), expected)


def test_a_folder_that_lacks_its_defaults(tiny_emoji, tmp_path):
    import json
    import shutil

    from bigmodel.runtime.artifacts import write_manifest

    folder = tmp_path / "broken"
    shutil.copytree(tiny_emoji, folder)
    (folder / "generation_config.json").write_text(json.dumps({"sampler": "heun"}))
    write_manifest(folder)
    with pytest.raises(ModelFolderError, match="num_inference_steps"):
        ImageGenerator.from_pretrained(folder)


def test_the_benchmark_prints_its_figures(tiny_emoji, tmp_path, capsys):
    from argparse import Namespace

    asked = {"steps": 2, "provider": None, "batch": (1, 4)}
    arguments = Namespace(model=tiny_emoji, rounds=1, threads=1, out=tmp_path / "speed.json", **asked)
    assert benchmark(arguments) == 0
    printed = capsys.readouterr().out
    assert "four pictures in 2 steps" in printed and (tmp_path / "speed.json").exists()
