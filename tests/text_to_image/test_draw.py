"""Pictures of a prompt from the command line."""

import numpy as np
from PIL import Image

from bigmodel import cli
from bigmodel.text_to_image import png
from bigmodel.text_to_image.runtime import ImageGenerator


def test_files_know_how_they_were_made(tiny_emoji, tmp_path, capsys):
    command = ["draw", "--model", str(tiny_emoji), "a xyzzyx cat face", "--seed", "1", "--num-images", "2"]
    assert cli.main([*command, "--steps", "3", "--out", str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    paths = said.out.split()
    assert paths == [str(tmp_path / "new" / f"a-xyzzyx-cat-face-{seed}.png") for seed in (1, 2)]
    assert "ignored, in no caption of the training: xyzzyx" in said.err and "2 pictures" in said.err
    expected = ImageGenerator.from_pretrained(tiny_emoji).generate("a cat face", num_images=2, seed=1, steps=3)
    for path, picture, seed in zip(paths, expected, "12", strict=True):
        with Image.open(path) as found:
            np.testing.assert_array_equal(np.asarray(found), np.asarray(picture))
        with open(path, "rb") as file:
            settings = png.read(file.read())
        assert settings == {
            "prompt": "a xyzzyx cat face",
            "model": "tiny-emoji",
            "seed": seed,
            "steps": "3",
            "guidance": "3.0",
            "sampler": "heun",
        }


def test_earlier_files_are_left_alone(tiny_emoji, tmp_path, capsys):
    command = ["draw", "--model", str(tiny_emoji), "a cat", "--seed", "1", "--num-images", "1", "--steps", "1"]
    for guidance in "123":
        assert cli.main([*command, "--guidance", guidance, "--out", str(tmp_path)]) == 0
    paths = capsys.readouterr().out.split()
    assert paths == [str(tmp_path / f"a-cat-1{number}.png") for number in ("", "-2", "-3")]
    found = [png.read((tmp_path / path).read_bytes())["guidance"] for path in paths]
    assert found == ["1.0", "2.0", "3.0"]


def test_half_a_character_is_told_in_one_line(tiny_emoji, capsys):
    assert cli.main(["draw", "--model", str(tiny_emoji), "a cat \udcff"]) == 2
    assert "prompt: holds half a character" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told(tiny_emoji, capsys):
    assert cli.main(["draw", "--model", str(tiny_emoji), "a cat", "--steps", "1", "--out", "/proc"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: /proc/a-cat-")


def test_variations_and_nothing_asked_for(tiny_emoji, tmp_path, capsys):
    command = ["draw", "--model", str(tiny_emoji), "--steps", "1", "--num-images", "1", "--out", str(tmp_path)]
    assert cli.main([*command, "--seed", "5", "--variation-of", "1", "--strength", "0.25"]) == 0
    said = capsys.readouterr()
    assert "draws whatever it likes" in said.err
    settings = png.read((tmp_path / "picture-5.png").read_bytes())
    assert settings["variation_of"] == "1" and settings["strength"] == "0.25"


def test_wrong_settings_are_told_in_one_line(tiny_emoji, capsys):
    assert cli.main(["draw", "--model", str(tiny_emoji), "a cat", "--steps", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: steps: '0'; give a whole number")


def test_a_folder_that_cannot_be_made_is_told_before_the_drawing(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert cli.main(["draw", "--model", str(tmp_path / "none"), "a cat", "--out", str(tmp_path / "taken")]) == 2
    assert f"error: --out {tmp_path / 'taken'} cannot be made a folder" in capsys.readouterr().err
