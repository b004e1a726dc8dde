"""The page for programs: OpenAI's interface by its own client, MCP by a real one, and @gradio/client under Node."""

import asyncio
import base64
import io
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from loops import run_apart
from PIL import Image

from bigmodel.limits import LIMITS


@pytest.fixture(scope="module")
def client(page):
    return openai.OpenAI(base_url=f"{page.local_url}v1", api_key="none", max_retries=0)


def test_openai_lists_the_text_models(client):
    assert {model.id for model in client.models.list()} == {"tiny-poetry", "tiny-stories"}


def test_openai_completes_as_the_page_does(client, page):
    from gradio_client import Client

    asked = {"max_tokens": 12, "temperature": 0.7, "seed": 3}
    answer = client.completions.create(model="tiny-stories", prompt="Once upon a", **asked)
    arguments = "Once upon a", "tiny-stories", 12, 0.7
    expected = Client(page.local_url, verbose=False).predict(*arguments, seed=3, api_name="/generate_text")
    assert "Once upon a" + answer.choices[0].text == expected
    assert answer.choices[0].finish_reason == "length" and answer.model == "tiny-stories"
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12 > 12


def test_openai_streams_the_same(client):
    asked = {"model": "tiny-stories", "prompt": "Once", "max_tokens": 30, "seed": 3}
    whole = client.completions.create(**asked).choices[0].text
    options = {"stream": True, "stream_options": {"include_usage": True}}
    events = list(client.completions.create(**asked, **options))
    assert "".join(e.choices[0].text for e in events if e.choices) == whole and len(events) > 10
    assert events[-1].usage.completion_tokens == 30 and events[-2].choices[0].finish_reason == "length"
    stop = whole[8:11]
    cut = client.completions.create(**asked, stop=[stop])
    assert cut.choices[0].text == whole[: whole.index(stop)] and cut.choices[0].finish_reason == "stop"
    used = cut.usage.completion_tokens
    last = client.completions.create(**{**asked, "max_tokens": used}, stop=stop)  # found in the last that it may write
    assert last.choices[0].finish_reason == "stop" and last.usage.completion_tokens == used < 30


@pytest.mark.parametrize(
    ("wrong", "param", "message"),
    [
        ({"model": "gpt"}, "model", "'gpt' is unknown; choose one of"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens: 0 is out of range; give a whole number from 1 to 1024"),
        ({"n": 2}, "n", "'2' is not offered here; leave it out"),
        ({"prompt": ["a", "b"]}, "prompt", "must be a text, not list"),
        ({"stop": [""]}, "stop", "none of them empty"),
        ({"stop": 5}, "stop", "give a text, or up to 4 texts of up to 100 characters"),
        ({"stop": "a" * 101}, "stop", "give a text, or up to 4 texts of up to 100 characters"),
        ({"stop": False}, "stop", "give a text, or up to 4 texts of up to 100 characters"),
        ({"presence_penalty": 2}, "presence_penalty", "'2' is not offered here; leave it out"),
        ({"stop": ["a"] * 5}, "stop", "give a text, or up to 4 texts of up to 100 characters"),
        ({"max_tokens": 10**400}, "max_tokens", "out of range"),
    ],
)
def test_openai_errors_name_the_field(client, wrong, param, message):
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        client.completions.create(**{"model": "tiny-stories", "prompt": "a", **wrong})
    assert caught.value.param == param


def test_what_is_no_request(page):
    for body in (b"{", b"[]", b"x" * 70_000, b"[" * 100_000):
        answer = httpx.post(f"{page.local_url}v1/completions", content=body)
        assert answer.status_code == 400 and answer.json()["error"]["message"].startswith("body: ")


def test_a_full_house_is_told_and_empties(client, page, monkeypatch):
    monkeypatch.setattr(page, "pace", 0.1)  # none has ended before the last has come
    batch = page.models.get("tiny-stories", "text_generation").batch
    asked = {"model": "tiny-stories", "prompt": "Once", "max_tokens": 1024, "stream": True}
    visitors = [{"x-forwarded-for": f"203.0.113.{number}"} for number in range(LIMITS.texts_at_once)]
    streams = [client.completions.create(**asked, extra_headers=visitor) for visitor in visitors]
    with pytest.raises(openai.InternalServerError, match="as many texts as it can"):
        client.completions.create(**asked)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda stream: stream.close(), streams))
    for _ in range(100):
        if not batch.active:
            break
        run_apart(asyncio.sleep(0.1))
    assert batch.active == 0
    monkeypatch.undo()
    assert client.completions.create(**{**asked, "max_tokens": 2, "stream": False}).choices[0].text


def test_mcp_by_a_real_client(models_root):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    from bigmodel.ui.app import build_app, launch

    demo = build_app(models_root)
    launch(demo, prevent_thread_lock=True, quiet=True, mcp_server=True)

    async def talk():
        async with (
            streamablehttp_client(f"{demo.local_url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            return tools, {name: await session.call_tool(name, arguments) for name, arguments in asked.items()}

    Image.new("RGB", (24, 16), "red").save(picture := io.BytesIO(), "png")
    asked = {
        "generate_text": {"prompt": "Once upon a", "model": "tiny-stories", "max_new_tokens": 4},
        "translate": {"text": "Two dogs play in the snow.", "num_beams": 1},
        "classify_image": {"image": f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"},
    }
    try:
        tools, answers = run_apart(talk())
    finally:
        demo.close()
    assert set(tools) == {name.strip("/") for name in demo.get_api_info()["named_endpoints"]} and len(tools) == 8
    assert tools["generate_text"].description.startswith("Go on from a prompt")
    assert "poem" in json.dumps(tools["generate_text"].inputSchema, ensure_ascii=False)
    said = {name: " ".join(part.text for part in answer.content) for name, answer in answers.items()}
    assert not any(answer.isError for answer in answers.values()), said
    assert "Once upon a" in said["generate_text"] and "en" in said["translate"]
    assert all(label in said["classify_image"] for label in ("cat", "dog", "bag"))


NODE = """
import { Client } from "@gradio/client";
const app = await Client.connect(process.argv[2]);
const all = async (endpoint, inputs) => {
  const found = [];
  for await (const message of app.submit(endpoint, inputs)) if (message.type === "data") found.push(message.data);
  return found;
};
const texts = await all("/generate_text", { prompt: "Once", model: "tiny-stories", max_new_tokens: 40, seed: 3 });
const [[translation, source]] = (await all("/translate", { text: "Two dogs play in the snow." })).at(-1);
console.log(JSON.stringify({ pieces: texts.length, text: texts.at(-1)[0], translation, source }));
process.exit(0);
"""


def test_gradio_client_under_node(page, tmp_path):
    """Needs Node, and a folder of node_modules with @gradio/client above this one or in NODE_PATH's place."""
    node = shutil.which("node")
    modules = next(
        (f / "node_modules" for f in Path(__file__).parents if (f / "node_modules/@gradio/client").is_dir()), None
    )
    if node is None or modules is None:
        fail = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        fail("node or @gradio/client is missing; npm install --no-save --no-package-lock @gradio/client@2.7.0")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "talk.mjs").write_text(NODE)
    command = [node, "talk.mjs", page.local_url]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["text"].startswith("Once") and answer["pieces"] > 2
    assert answer["translation"] and answer["source"] == "en"
