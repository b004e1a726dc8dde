"""The README: its tables are what metrics.json says, its pictures are there, and its commands run."""

import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import numpy as np
import pytest
from loops import run_apart
from PIL import Image

from bigmodel import cli
from bigmodel.config import write_json
from bigmodel.errors import DataError
from bigmodel.evaluation.readme import licences, table, with_table
from bigmodel.text_to_image.config import emoji
from bigmodel.ui.visitors import served

REPOSITORY = Path(__file__).parents[1]
ARTIFACTS = REPOSITORY / "export" / "artifacts"
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
BASH = [body.replace("\\\n", "").splitlines() for language, body in BLOCKS if language == "bash"]
PYTHON = [body for language, body in BLOCKS if language == "python"]
MCP = "GRADIO_MCP_SERVER=true python app.py"


def test_the_tables_are_what_was_measured(capsys):
    assert cli.main(["results", "--check"]) == 0, capsys.readouterr().out
    assert "bits per byte" in table(ARTIFACTS)
    with pytest.raises(DataError, match="lacks the marks <!-- results"):
        with_table("# No marks", "results", "")


def test_the_time_of_a_training_counts_those_before_it(tmp_path):
    before = {"minutes": 3.0, "init_from": {"minutes": 2.0, "init_from": {"steps": 9}}}
    training = {"minutes": 5.0, "hardware": "one core", "parameters": 1_000_000, "init_from": before}
    figure = {"name": "accuracy", "value": 0.5, "unit": "share", "dataset": "mine.test", "engine": "onnx-cpu"}
    (tmp_path / "mine").mkdir()
    write_json(tmp_path / "mine/config.json", {})
    write_json(tmp_path / "mine/metrics.json", {"training": training, "results": [figure]})
    assert "| 10 min on one core | accuracy |" in table(tmp_path)


def test_every_corpus_and_model_has_its_licence_and_who_asks_is_named():
    rows = licences(ARTIFACTS).splitlines()
    for folder in (path.parent for path in ARTIFACTS.glob("*/metrics.json")):
        assert "\nlicense: " in (folder / "README.md").read_text(encoding="utf-8"), folder.name
        assert any(f"artifacts/{folder.name}/README.md): " in row for row in rows), folder.name
    assert "not stated" not in "".join(rows) and sum("CC BY" in row and "Twemoji" in row for row in rows) == 1


def test_its_pictures_and_links_are_there():
    targets = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert len(targets) > 5 and [t for t in targets if not (REPOSITORY / t).exists()] == []
    sections = {line[3:].lower().replace(" ", "-") for line in TEXT.splitlines() if line.startswith("## ")}
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT) if anchor not in sections] == []


@pytest.mark.parametrize(
    "words", sorted(set(re.findall(r"^\| `python -m bigmodel ([a-z_ ]+)(?: TASK)?` ", TEXT, re.M)))
)
def test_its_commands_are_those_that_there_are(words, capsys):
    words = words.split()
    modules = cli.COMMANDS[words[0]][1]
    words += [] if isinstance(modules, str) or len(words) > 1 else [next(iter(modules))]
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    assert stop.value.code == 0 and "usage" in capsys.readouterr().out


def test_every_command_is_in_it():
    assert [name for name in cli.COMMANDS if f"`python -m bigmodel {name}" not in TEXT] == []


@pytest.mark.parametrize("line", re.findall(r"^python -m bigmodel (?:deploy|push).*--dry-run$", TEXT, re.M))
def test_its_dry_runs_run(line, capsys, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    assert cli.main(line.split()[3:]) == 0
    assert "MB" in capsys.readouterr().out


def test_each_of_its_blocks_is_run():
    """Most of them here; those that install by .ci/run, and nginx's by tests/ui/test_replicas.py."""
    assert {language for language, _ in BLOCKS} == {"bash", "python", "nginx", ""}
    run = re.compile(
        r"(python -m bigmodel|torchrun .* -m bigmodel) (train|export|report|push|deploy) .*|pip install .*"
    )
    others = [line for lines in BASH for line in lines if not run.fullmatch(line)]
    assert others == [MCP, "python app.py"]


def test_its_installations_suffice():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = [set(names.split(",")) for names in re.findall(r"""pip install (?:-e )?['"]\.\[([\w,]+)\]""", TEXT)]
    assert len(asked) > 2 and set.union(*asked) <= set(extras)
    [whole] = [names for names in asked if "train" in names]
    assert f"bigmodel[{','.join(sorted(whole, key=list(extras).index))}]" in extras["dev"]  # what the tests run with
    assert "serve" in whole and any(package.startswith("gradio[mcp]") for package in extras["serve"])


def test_its_folders_are_there():
    [tree] = [body for language, body in BLOCKS if not language]
    assert [line for line in tree.splitlines() if not (REPOSITORY / line.split()[0]).exists()] == []


@pytest.fixture(scope="module")
def page():
    """Address of the page as the line for MCP starts it, with the models that the programs ask."""
    variable, *_, program = MCP.split()
    models = ",".join(str(ARTIFACTS / name) for name in ("stories", "en-de"))
    environment = {**dict([variable.split("=")]), "BIGMODEL_MODELS": models}
    with served([program], environment=environment, path="health") as (address, _):
        yield address


@pytest.mark.parametrize(("program", "said"), zip(PYTHON, (r"Once upon a time.*Hunde", r"\w+"), strict=True))
def test_its_programs_run(page, program, said):
    program = program.replace("http://127.0.0.1:7860/", page).replace("http://127.0.0.1:7860", page)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=True)
    assert page in program and re.search(said, done.stdout, re.DOTALL)


def test_an_assistant_finds_its_tools(page):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def tools():
        address = f"{page}gradio_api/mcp/"
        async with streamablehttp_client(address) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return {tool.name for tool in (await session.list_tools()).tools}

    assert {"generate_text", "translate"} <= run_apart(tools())


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A folder of what the training commands name, as small as it can be."""
    folder, rng = tmp_path_factory.mktemp("corpora"), np.random.default_rng(0)
    (folder / "my-texts").mkdir()
    (folder / "my-texts/foxes.txt").write_text("".join(f"The old fox met {i} crows in the wood.\n" for i in range(900)))
    pairs = [f"I see {i} dogs.\tJe vois {i} chiens.\n" for i in range(300)]
    (folder / "pairs.tsv").write_text("".join(pairs[20:]))
    (folder / "held-out.tsv").write_text("".join(pairs[:20]))
    pictures = [Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)) for _ in range(120)]
    for i, picture in enumerate(pictures):
        place = folder / "my-pictures" / ("cat", "dog")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{i}.png")
    for split, some in (("train", pictures[:24]), ("val", pictures[24:30]), ("test", pictures[30:36])):
        write_boxes(folder / "my-boxes" / split, some)
    write_drawings(folder / "my-drawings.parquet", pictures)
    (folder / "export/artifacts").mkdir(parents=True)
    (folder / "export/artifacts/stories").symlink_to(ARTIFACTS / "stories")
    return folder


def write_boxes(folder, pictures):
    """Write pictures of one box each, and COCO's JSON."""
    folder.mkdir(parents=True)
    values = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i}.png")
        values["images"].append({"id": i, "file_name": f"{i}.png"})
        values["annotations"].append({"id": i, "image_id": i, "category_id": 1, "bbox": [i % 10, 5, 12, 12]})
    (folder / "boxes.json").write_text(json.dumps(values))


def write_drawings(path, pictures):
    """Write a parquet file of pictures with names."""
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    named, things = {"style": "noto", "keywords": "", "codepoints": "1f431", "split": "train"}, emoji().things
    rows = []
    for i, picture in enumerate(pictures):
        picture.save(file := io.BytesIO(), "png")
        rows.append({"image": file.getvalue(), "name": things[i % len(things)], "tone": str(i), **named})
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


TRAININGS = [lines for lines in BASH if any(" train " in line for line in lines)]


@pytest.mark.parametrize("lines", TRAININGS, ids=lambda lines: lines[-1].split("--name ")[-1].split()[0])
def test_its_trainings_train(lines, corpora, monkeypatch):
    monkeypatch.chdir(corpora)
    for line in lines:
        words = shlex.split(re.sub(r" --minutes \d+", "", line))
        if "train" in words:
            words += ["--steps", "2", "--no-compile"]
        if words[0] == "torchrun":
            torchrun = str(Path(sys.executable).with_name("torchrun"))
            subprocess.run([torchrun, *words[1:]], timeout=250, check=True)
        elif words[:3] == ["python", "-m", "bigmodel"]:
            assert cli.main(words[3:]) == 0
        elif words[0] == "python":
            models = {"BIGMODEL_MODELS": str(corpora / "export/artifacts/mine")}
            with served(words[1:], environment=models, path="health") as (address, _):
                asked = {"model": "mine", "prompt": "The old fox", "max_tokens": 4}
                assert httpx.post(f"{address}v1/completions", json=asked, timeout=60).status_code == 200
