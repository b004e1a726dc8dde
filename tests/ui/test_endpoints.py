"""The public contract, called as others call it: by gradio_client and by plain HTTP."""

import json
import re
import time

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError, ValidationError

ARGUMENTS = ["prompt", "model", "max_new_tokens", "temperature", "top_k", "top_p", "seed"]


@pytest.fixture(scope="module")
def client(page):
    return Client(page.local_url, verbose=False)


def test_names_order_and_defaults(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {
        "/generate_text",
        "/next_tokens",
        "/translate",
        "/translate_file",
        "/generate_image",
        "/classify_image",
        "/detect_objects",
        "/health",
    }
    names = [parameter["parameter_name"] for parameter in endpoints["/generate_text"]["parameters"]]
    assert names[: len(ARGUMENTS)] == ARGUMENTS
    assert names[len(ARGUMENTS) :] == ["kind", "form", "author", "title", "acrostic"]
    names = [parameter["parameter_name"] for parameter in endpoints["/next_tokens"]["parameters"]]
    assert names[:3] == ["prompt", "model", "k"]
    for endpoint in ("/generate_text", "/next_tokens"):
        assert all(p["parameter_has_default"] for p in endpoints[endpoint]["parameters"][1:])


def test_text_streams_and_its_seed_repeats_it(client):
    def streamed(seed):
        job = client.submit("Once upon a", None, 40, seed=seed, api_name="/generate_text")
        return job.result(), job.outputs()

    text, parts = streamed(3)
    assert text.startswith("Once upon a") and len(text) > 20
    assert len(parts) > 3 and all(longer.startswith(shorter) for shorter, longer in zip(parts, parts[1:], strict=False))
    assert streamed(3)[0] == text != streamed(4)[0]


def test_first_argument_alone_by_curl(page):
    address = page.local_url + "gradio_api/call"
    event = httpx.post(f"{address}/v2/generate_text", json={"prompt": "Once"}).json()["event_id"]
    lines = httpx.get(f"{address}/generate_text/{event}", timeout=60).text.splitlines()
    assert "event: complete" in lines
    assert json.loads(lines[lines.index("event: complete") + 1].removeprefix("data: "))[0].startswith("Once")


def test_the_prompt_chooses_the_model(client):
    assert client.predict("床前明月", max_new_tokens=5, api_name="/generate_text").startswith("床前明月")
    rows = client.predict("床前明月", k=5, api_name="/next_tokens")["data"]
    assert all(len(token) == 1 for token, _ in rows)


def test_acrostic(client):
    poem = client.predict("", "tiny-poetry", acrostic="床春白", form="五言", api_name="/generate_text")
    lines = re.findall("[^，。？！]+", poem)
    assert [line[0] for line in lines] == list("床春白")
    assert {len(line) for line in lines} == {5}


def test_next_tokens(client):
    table = client.predict("The quick brown fox jumps over the lazy", "tiny-stories", api_name="/next_tokens")
    assert table["headers"] == ["token", "probability"] and len(table["data"]) == 10
    probabilities = [probability for _, probability in table["data"]]
    assert probabilities == sorted(probabilities, reverse=True) and 0 < sum(probabilities) <= 1


def test_health(client):
    health = client.predict(api_name="/health")
    assert set(health) == {"status", "models", "providers", "versions"}
    assert health["status"] == "degraded"
    assert health["models"]["tiny-stories"]["state"] == "ready"
    assert "altered/tokenizer.json" in health["models"]["altered"]["fault"]
    assert "/tmp" not in health["models"]["altered"]["fault"]
    assert health["providers"] == ["cpu"] and "gradio" in health["versions"]


BAD = [
    ({"prompt": ""}, "prompt: is empty; give 1 to 4000 characters"),
    ({"prompt": "a" * 4001}, "prompt: 4001 characters; the limit is 4000"),
    ({"prompt": 7}, "prompt: must be a text, not int"),
    ({"prompt": "a <|endoftext|> b"}, "prompt: special tokens"),
    ({"prompt": "a", "model": "gpt"}, "model: 'gpt' is unknown; choose one of tiny-poetry, tiny-stories"),
    ({"prompt": "a", "model": "altered"}, "model: altered is not served: altered/tokenizer.json"),
    ({"prompt": "a", "max_new_tokens": 0}, "max_new_tokens: 0 is out of range; give a whole number from 1 to 1024"),
    ({"prompt": "a", "max_new_tokens": 1.5}, "max_new_tokens: 1.5 is not a whole number"),
    ({"prompt": "a", "temperature": -1}, "temperature: -1 is out of range; give a number from 0 to 2"),
    ({"prompt": "a", "temperature": "hot"}, "temperature: 'hot' is not a number"),
    ({"prompt": "a", "top_k": -1}, "top_k: -1 is out of range"),
    ({"prompt": "a", "top_p": 0}, "top_p: 0 is out of range; give a number from 0.01 to 1"),
    ({"prompt": "a", "seed": -1}, "seed: -1 is out of range"),
    ({"prompt": "", "model": "tiny-poetry", "kind": "sonnet"}, "kind: 'sonnet' is unknown; choose one of 唐诗"),
    ({"prompt": "", "model": "tiny-poetry", "acrostic": "春" * 17}, "acrostic: 17 characters; the limit is 16"),
]


@pytest.mark.parametrize("values, message", BAD, ids=[message for _, message in BAD])
def test_bad_input_is_refused_with_its_field_and_limit(page, values, message):
    answer = httpx.post(f"{page.local_url}gradio_api/call/v2/generate_text", json=values)
    assert answer.status_code == 422
    wrong = [part for part in answer.json()["detail"] if not part["is_valid"]]
    assert len(wrong) == 1 and wrong[0]["message"].startswith(message) and "Traceback" not in answer.text


def test_gradio_client_sees_the_message(client):
    with pytest.raises(ValidationError, match="top_p: 3 is out of range; give a number from 0.01 to 1"):
        client.predict("a", top_p=3, api_name="/generate_text")
    with pytest.raises(ValidationError, match="k: 51 is out of range; give a whole number from 1 to 50"):
        client.predict("a", k=51, api_name="/next_tokens")


def test_unknown_script_is_skipped_and_nothing_else(client):
    mixed = client.predict("Привет once", "tiny-stories", max_new_tokens=8, api_name="/generate_text")
    plain = client.predict(" once", "tiny-stories", max_new_tokens=8, api_name="/generate_text")
    assert mixed.removeprefix("Привет once") == plain.removeprefix(" once")
    with pytest.raises(AppError, match="prompt: the model knows none of its characters; it writes en"):
        client.predict("Привет", "tiny-stories", api_name="/generate_text")


def test_a_post_around_the_queue_is_refused(page):
    answer = httpx.post(f"{page.local_url}gradio_api/run/generate_text", json={"data": ["a"] + [None] * 11})
    assert answer.status_code in (403, 404)


def test_cancelling_stops_the_work_and_frees_the_slot(page, client, monkeypatch):
    monkeypatch.setattr(page, "pace", 0.1)  # the text is not at its end when it is cancelled
    batch = page.models.get("tiny-stories", "text_generation").batch
    job = client.submit("Once", "tiny-stories", 1024, api_name="/generate_text")
    deadline = time.monotonic() + 60
    while not job.outputs() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert batch.active == 1
    job.cancel()
    deadline = time.monotonic() + 5
    while batch.active and time.monotonic() < deadline:
        time.sleep(0.05)
    assert batch.active == 0
