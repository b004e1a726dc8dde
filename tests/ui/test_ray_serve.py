"""The interface of a replica, and two of them under a local Ray."""

import base64
import io
import os
import sys
import time

import httpx
import pytest
from PIL import Image
from starlette.testclient import TestClient

from bigmodel.errors import ConfigError
from bigmodel.limits import LIMITS
from bigmodel.ui.benchmark_ray import QUIET, RAY
from bigmodel.ui.ray_serve import ANSWERS, build, build_api
from bigmodel.ui.visitors import served


@pytest.fixture(scope="module")
def replica(models_root):
    with TestClient(build_api([str(models_root)])) as client:
        yield client


def picture():
    """A square in a file, in base64."""
    file = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def answers(client):
    """What each endpoint says, by its name."""
    asked = {
        "v1/completions": {"model": "tiny-stories", "prompt": "Once upon a", "max_tokens": 12, "seed": 3},
        "translate": {"text": "Two dogs.", "source": "en", "target": "de"},
        "generate_image": {"prompt": "a red square", "num_images": 1, "steps": 2, "seed": 5},
        "classify_image": {"image": picture(), "model": "tiny-photos"},
        "detect_objects": {"image": picture(), "threshold": 0.01},
    }
    found = {name: client.post(f"/{name}", json=body) for name, body in asked.items()}
    assert {name: answer.status_code for name, answer in found.items()} == dict.fromkeys(asked, 200)
    return {name: answer.json() for name, answer in found.items()}


def test_endpoints_answer_as_the_page_does(replica, page):
    from gradio_client import Client

    found, client = answers(replica), Client(page.local_url, verbose=False)
    assert set(ANSWERS) < set(found)
    text = client.predict("Once upon a", "tiny-stories", 12, seed=3, api_name="/generate_text")
    assert "Once upon a" + found["v1/completions"]["choices"][0]["text"] == text
    translation, source, _ = client.predict("Two dogs.", "en", "de", api_name="/translate")
    assert (found["translate"]["translation"], found["translate"]["source"]) == (translation, source)
    png = Image.open(io.BytesIO(base64.b64decode(found["generate_image"]["images"][0])))
    assert png.text["seed"] == "5" and png.text["prompt"] == "a red square"
    assert found["generate_image"]["finished"] and found["translate"]["finished"]
    assert sum(found["classify_image"]["labels"].values()) == pytest.approx(1, abs=1e-3)
    assert found["detect_objects"]["headers"] == ["label", "score", "x0", "y0", "x1", "y1"]
    assert found["detect_objects"]["data"]


@pytest.mark.parametrize(
    ("endpoint", "body", "field"),
    [
        ("translate", {"text": ""}, "text"),
        ("translate", {"text": "x" * (LIMITS.text_characters + 1)}, "text"),
        ("translate", {"text": "Two dogs.", "colour": 1}, "colour"),
        ("generate_image", {"prompt": "a cat", "steps": 10_000}, "steps"),
        ("classify_image", {}, "image"),
        ("classify_image", {"image": "?"}, "image"),
        ("classify_image", {"image": base64.b64encode(b"no picture").decode()}, "image"),
        ("detect_objects", {"image": picture(), "threshold": 7}, "threshold"),
    ],
)
def test_bad_input_names_the_field(replica, endpoint, body, field):
    answer = replica.post(f"/{endpoint}", json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000], ids=["torn", "a list", "too deep"])
def test_what_is_no_request(replica, body):
    answer = replica.post("/translate", content=body)
    told = {"field": "body", "message": "body: must be a JSON object"}
    assert (answer.status_code, answer.json()["error"]) == (400, told)


def test_broken_model_is_named_and_the_others_serve(replica):
    health = replica.get("/health")
    assert health.status_code == 200 and health.json()["models"]["altered"] in ("broken", "loading")


def test_unknown_argument():
    with pytest.raises(ConfigError, match="cores is unknown"):
        build({"cores": "2"})


def test_two_replicas(models_root, replica):
    """Both serve, and say what one process says."""
    pytest.importorskip("ray")
    environment = {**QUIET, "PYTHONPATH": os.pathsep.join(sys.path)}
    expected = answers(replica)
    program = ["-c", RAY, str(models_root), "2"]
    with (
        served(program, environment=environment, path="health") as (address, _),
        httpx.Client(base_url=address, timeout=120) as client,
    ):
        found = answers(client)
        hosts, ends = set(), time.monotonic() + 60  # the second may come later
        while len(hosts) < 2 and time.monotonic() < ends:
            hosts.add(client.get("/health").json()["replica"])
    assert len(hosts) == 2
    for name in ANSWERS:
        assert found[name] == expected[name]
    text = lambda answer: answer["v1/completions"]["choices"][0]["text"]  # noqa: E731
    assert text(found) == text(expected)
