"""The Generate part of the Image tab: its endpoint as others call it, and the tab in a real browser."""

import base64
import io
import re
import time

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import ValidationError
from PIL import Image
from playwright.sync_api import expect

from bigmodel.text_to_image import png
from bigmodel.text_to_image.events import DrawEvents

ARGUMENTS = ["prompt", "model", "num_images", "steps", "guidance", "seed", "sampler", "variation_of", "strength"]
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


@pytest.fixture(scope="module")
def client(page):
    return Client(page.local_url, verbose=False, httpx_kwargs={"timeout": 60})


@pytest.fixture(scope="module")
def generator(page):
    return page.models.get("tiny-emoji", "text_to_image")


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def opened(gallery):
    """Return (pixels, texts, caption) of each picture that the client has fetched."""
    found = []
    for item in gallery:
        with open(item["image"], "rb") as file:
            data = file.read()
        with Image.open(io.BytesIO(data)) as picture:
            found.append((pixels_of(data), picture.text, item["caption"]))
    return found


def wait_until_idle(generator, seconds=2):
    deadline = time.monotonic() + seconds
    while generator.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert generator.running == 0


def test_names_order_and_defaults(client):
    endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/generate_image"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == ARGUMENTS
    assert all(p["parameter_has_default"] for p in endpoint["parameters"][1:])


def test_first_argument_alone(client, generator):
    gallery, about = client.predict("a cat face, noto style", api_name="/generate_image")
    seed = about["seeds"][0]
    assert about["seeds"] == [seed, seed + 1, seed + 2, seed + 3] and about["finished"] and not about["unconditional"]
    assert about["settings"] == {
        "prompt": "a cat face, noto style",
        "model": "tiny-emoji",
        "num_images": 4,
        "seed": seed,
        "variation_of": None,
        "strength": None,
        **generator.defaults,
    }
    expected = generator.generate("a cat face, noto style", seed=seed)
    for i, (pixels, texts, caption) in enumerate(opened(gallery)):
        np.testing.assert_array_equal(pixels, np.asarray(expected[i]))
        assert texts["seed"] == str(seed + i) and texts["prompt"] == "a cat face, noto style"
        assert caption == f"seed {seed + i}"


def test_pictures_are_streamed_and_their_seed_repeats_them(client):
    job = client.submit("a cat face", num_images=3, steps=16, seed=5, sampler="euler", api_name="/generate_image")
    job.result()
    steps = [about["step"] for _, about in job.outputs()]
    assert len(steps) > 3 and steps == sorted(steps) and steps[-1] == 16
    previews = [opened(gallery) for gallery, _ in job.outputs()]
    assert not np.array_equal(previews[0][0][0], previews[-1][0][0]) and "seed" not in previews[0][0][1]
    alone, _ = client.predict("a cat face", num_images=1, steps=16, seed=7, sampler="euler", api_name="/generate_image")
    np.testing.assert_array_equal(opened(alone)[0][0], previews[-1][2][0])


def test_variations(client):
    def draw(**values):
        gallery, about = client.predict("a cat face", num_images=1, steps=4, **values, api_name="/generate_image")
        return opened(gallery)[0], about

    (first, _, _), _ = draw(seed=3)
    (same, texts, _), _ = draw(seed=9, variation_of=3, strength=0)
    (near, _, _), about = draw(seed=9, variation_of=3, strength=0.3)
    (other, _, _), _ = draw(seed=9, variation_of=3, strength=1)
    np.testing.assert_array_equal(same, first)
    assert texts["variation_of"] == "3" and texts["strength"] == "0.0" and about["settings"]["strength"] == 0.3
    np.testing.assert_array_equal(other, draw(seed=9)[0][0])
    assert not np.array_equal(near, first) and not np.array_equal(near, other)


BAD = [
    ({"prompt": "a" * 10_000}, "prompt: 10000 characters; the limit is 500"),
    ({"prompt": 7}, "prompt: must be a text, not int"),
    ({"model": "gpt"}, "model: 'gpt' is unknown; choose one of tiny-emoji"),
    ({"num_images": 9}, "num_images: 9 is out of range; give a whole number from 1 to 8"),
    ({"steps": 0}, "steps: 0 is out of range; give a whole number from 1 to 100"),
    ({"guidance": "hot"}, "guidance: 'hot' is not a number"),
    ({"seed": -1}, "seed: -1 is out of range"),
    ({"sampler": "ddim"}, "sampler: 'ddim' is unknown; choose one of euler, heun"),
    ({"variation_of": 0.5}, "variation_of: 0.5 is not a whole number"),
    ({"strength": 2}, "strength: 2 is out of range; give a number from 0 to 1"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[message for _, message in BAD])
def test_wrong_arguments_are_refused(client, values, message):
    with pytest.raises(ValidationError, match=message):
        client.predict(api_name="/generate_image", **{"prompt": "a cat", **values})


def test_nothing_asked_for_and_words_that_no_caption_had(client):
    _, about = client.predict("", num_images=1, steps=1, api_name="/generate_image")
    assert about["unconditional"] and about["prompt"] == "" and about["ignored"] == []
    _, about = client.predict("a xyzzyx cat face", num_images=1, steps=1, api_name="/generate_image")
    assert about["ignored"] == ["xyzzyx"] and not about["unconditional"]
    _, about = client.predict("🐱", num_images=1, steps=1, api_name="/generate_image")
    assert "cat" in about["prompt"] and about["ignored"] == []


def test_cancelling_stops_the_work(page, generator, monkeypatch):
    monkeypatch.setattr(generator, "pause", 0.5)
    client = Client(page.local_url, verbose=False, download_files=False)  # while it fetches files it cancels nothing
    job = client.submit("a cat face", steps=100, api_name="/generate_image")
    deadline = time.monotonic() + 30
    while not job.outputs() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert generator.running == 1
    job.cancel()
    wait_until_idle(generator, 3)


def fill(tab, prompt="a cat face, noto style", *, steps=None, seed=None):
    tab.locator("#what-to-draw textarea").fill(prompt)
    if not tab.get_by_label("Seed", exact=True).is_visible():
        tab.get_by_role("button", name="Sampling").click()
    if steps is not None:
        field = tab.get_by_label(re.compile("number input for Steps"))
        field.fill(str(steps))
        field.press("Tab")
    if seed is not None:
        tab.get_by_label("Seed", exact=True).fill(str(seed))
    tab.wait_for_timeout(300)


def finish(tab, act):
    """Do what begins pictures, and wait for their end; drawing anew takes the mark away."""
    section = tab.locator("#drawing section")
    if section.count():
        section.evaluate("section => section.setAttribute('data-old', '')")
    act()
    tab.locator('#drawing section:not([data-old])[aria-busy="false"]').wait_for(timeout=60_000)


def draw(tab):
    finish(tab, tab.locator("#draw-button").click)


def pictures(tab):
    """Return the file of each picture that is shown."""
    sources = tab.locator("#drawing img").evaluate_all("images => images.map((image) => image.src)")
    return [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in sources]


def test_pictures_sharpen_before_the_visitors_eyes(open_page, generator, monkeypatch):
    monkeypatch.setattr(generator, "pause", 0.5)  # a screenshot takes its time
    tab = open_page("?tab=image")
    expect(tab.get_by_text("Pictures appear here")).to_be_visible()
    fill(tab, steps=24, seed=11)
    tab.locator("#draw-button").click()
    first = tab.locator("#drawing img").first
    first.wait_for(timeout=20_000)
    shots, steps = [], []
    while (step := tab.evaluate("document.querySelector('#drawing .bar:not([hidden]) progress')?.value")) is not None:
        steps.append(step)
        shots.append(pixels_of(first.screenshot()))
    shots.append(pixels_of(first.screenshot()))
    assert len({shot.tobytes() for shot in shots}) >= 3 and steps == sorted(steps) and len(set(steps)) >= 3
    assert all(shot[8:-8, 8:-8].std() > 2 for shot in shots)  # not blank, its frame aside
    monkeypatch.undo()
    expected = generator.generate("a cat face, noto style", steps=24, seed=11)
    for data, picture in zip(pictures(tab), expected, strict=True):
        np.testing.assert_array_equal(pixels_of(data), np.asarray(picture))
    assert first.get_attribute("alt") == "a cat face, noto style · seed 11"
    assert first.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    size = " × ".join(map(str, generator.size[::-1]))
    expect(tab.locator("#drawing-facts")).to_contain_text(f"CPU · {size} pixels, shown enlarged")


def test_stop_stops_the_work(open_page, generator):
    tab = open_page("?tab=generate")
    fill(tab, steps=100)
    tab.locator("#draw-button").click()
    tab.locator("#drawing img").first.wait_for(timeout=20_000)
    assert generator.running == 1
    stop = tab.get_by_role("button", name="Stop")
    late = lambda route: (tab.wait_for_timeout(500), route.continue_())  # noqa: E731
    tab.route("**/gradio_api/queue/join*", late)
    stop.click()
    for button in (stop, tab.locator("#draw-button")):  # what would begin now, the end of this would settle
        expect(button).to_be_disabled()
    wait_until_idle(generator)
    tab.locator('#drawing section[aria-busy="false"]').wait_for(timeout=10_000)
    expect(tab.locator("#draw-button")).to_be_enabled()
    expect(stop).to_be_disabled()
    tab.unroute("**/gradio_api/queue/join*")
    shown = pictures(tab)
    tab.wait_for_timeout(800)
    assert len(shown) == 4 and pictures(tab) == shown and tab.locator("#drawing a[download]").count() == 0
    expect(tab.locator("#drawing-facts .error")).to_be_hidden()
    fill(tab, steps=3)
    draw(tab)  # and goes on
    assert tab.locator("#drawing a[download]").count() == 4


def test_leaving_stops_the_work(open_page, generator):
    tab = open_page("?tab=generate")
    fill(tab, steps=100)
    tab.locator("#draw-button").click()
    tab.locator("#drawing img").first.wait_for(timeout=20_000)
    tab.close()
    wait_until_idle(generator, 3)


def test_the_same_picture_again_and_variations_of_it(open_page):
    tab = open_page("?tab=generate")
    fill(tab, steps=4, seed=20)
    draw(tab)
    third = pictures(tab)[2]
    tab.locator("#what-to-draw textarea").fill("something else")
    finish(tab, lambda: tab.get_by_role("button", name="Again").nth(2).press("Enter"))
    assert pictures(tab) == [third]
    assert tab.evaluate("document.activeElement.matches('#drawing section')")  # not the top of the page
    # the form is the visitor's: what is drawn next is not this seed for ever
    assert tab.get_by_label("Seed", exact=True).input_value() == "20"
    assert tab.locator("#what-to-draw textarea").input_value() == "something else"
    assert "seed 22" in tab.locator("#drawing figcaption").inner_text()
    finish(tab, tab.get_by_role("button", name="Variations").click)
    assert len(set(pictures(tab))) == 4 and third not in pictures(tab)
    captions = tab.locator("#drawing figcaption").all_inner_texts()
    assert all(re.fullmatch(r"seed \d+ · of 22", caption) for caption in captions)
    second = pictures(tab)[1]
    finish(tab, tab.get_by_role("button", name="Again").nth(1).click)
    assert pictures(tab) == [second]


def saved(tab, click):
    with tab.expect_download() as download:
        click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def test_files_know_their_settings_and_bring_them_back(open_page, generator, tmp_path):
    tab = open_page("?tab=generate")
    fill(tab, "🐱 & <b>rose</b>", steps=5, seed=30)
    draw(tab)
    second = pictures(tab)[1]
    name, raw = saved(tab, tab.locator("#drawing a[download]").nth(1).click)
    assert raw == second and name == "b-rose-b-31.png"
    _, large = saved(tab, tab.locator("#drawing [data-action=enlarge]").nth(1).click)
    settings = png.read(raw)
    assert settings == png.read(large) and settings["prompt"] == "🐱 & <b>rose</b>" and settings["seed"] == "31"
    times = pixels_of(large).shape[0] // generator.size[0]
    assert pixels_of(large).shape[1] >= 512
    np.testing.assert_array_equal(pixels_of(large), pixels_of(raw).repeat(times, 0).repeat(times, 1))

    (tmp_path / name).write_bytes(large)
    other = open_page("?tab=generate&num_images=8&guidance=9&sampler=euler&seed=1&variation_of=4")
    field = other.locator("#drop-drawing input[type=file]")
    for _ in range(2):  # the place is empty again
        other.locator("#what-to-draw textarea").fill("")
        field.set_input_files(tmp_path / name)
        expect(other.locator("#what-to-draw textarea")).to_have_value("🐱 & <b>rose</b>", timeout=20_000)
    expect(other.locator("#restored")).to_contain_text("Its settings are back")
    draw(other)
    assert pictures(other) == [second]


def dropped(tab, data):
    """Drop a file beside the place for it."""
    transfer = tab.evaluate_handle(
        """(data) => {
          const transfer = new DataTransfer(), bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          transfer.items.add(new File([bytes], "a.png", { type: "image/png" }));
          return transfer;
        }""",
        base64.b64encode(data).decode(),
    )
    tab.dispatch_event("#drawing", "drop", {"dataTransfer": transfer})


def test_a_file_of_a_stranger(open_page):
    tab = open_page("?tab=generate&prompt=a+rose&seed=5")
    field, said = tab.locator("#what-to-draw textarea"), tab.locator("#restored")
    expect(field).to_have_value("a rose", timeout=20_000)
    dropped(tab, b"<html></html>")
    expect(said.locator("[role=alert]")).to_have_text("picture: is no PNG file", timeout=20_000)
    blank = np.zeros((4, 4, 3), np.uint8)
    dropped(tab, png.encode(blank, {}))
    expect(said.locator("[role=alert]")).to_contain_text("says nothing of how it was made", timeout=20_000)
    script = "<img src=x onerror=window.hacked=1>"
    hostile = {"prompt": script, "model": script, "seed": "9" * 3000, "steps": "1e9", "sampler": script, "guidance": 2}
    dropped(tab, png.encode(blank, hostile))
    expect(field).to_have_value(script, timeout=20_000)
    expect(said).to_contain_text("Its model is not on this host: <img src=x")
    expect(said).to_contain_text("out of their limits: Steps, Seed, Sampler")
    fill(tab, script)
    assert tab.get_by_label("Seed", exact=True).input_value() == "5"
    fill(tab, script, steps=1)
    draw(tab)
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("#drawing img").first.get_attribute("alt").startswith(script)


def test_a_link_gives_the_same_pictures_and_the_visit_lists_them(open_page, page):
    tab = open_page("?tab=generate&prompt=a+rose&num_images=3&steps=4&run=1", **CLIPBOARD)
    tab.locator('#drawing section[aria-busy="false"]').wait_for(timeout=60_000)
    before = pictures(tab)
    assert len(before) == 3
    tab.locator(".copy-link:visible").click()
    expect(tab.locator(".said [role=status]:visible")).to_contain_text("Copied", timeout=10_000)
    link = tab.evaluate("navigator.clipboard.readText()")
    assert link.startswith(page.local_url) and re.search(r"seed=\d+", link) and "tab=generate" in link
    other = open_page(link.removeprefix(page.local_url))
    other.locator('#drawing section[aria-busy="false"]').wait_for(timeout=60_000)
    assert pictures(other) == before
    tab.get_by_role("button", name="In this browser").click()
    entry = tab.locator(".history:visible li")
    expect(entry).to_have_count(1, timeout=10_000)
    assert entry.locator("img").count() == 3 and entry.locator("a").inner_text() == "a rose"
    entry.locator("a").click()
    tab.wait_for_url("**run=1**")
    tab.locator('#drawing section[aria-busy="false"]').wait_for(timeout=60_000)
    assert pictures(tab) == before


def test_where_the_list_of_a_visit_is_full_old_pictures_go_before_entries(open_page):
    tab = open_page("?tab=generate&prompt=a+rose&num_images=1&steps=1")
    tab.evaluate("""() => {
        const pictures = Array(4).fill("data:," + "a".repeat(12000));
        const entry = (_, i) => ({ tab: "generate", inputs: { prompt: `thing ${i}` }, label: `thing ${i}`, pictures });
        localStorage.setItem("bigmodel-generate", JSON.stringify(Array.from({ length: 40 }, entry)));
    }""")
    draw(tab)
    counts = "JSON.parse(localStorage.getItem('bigmodel-generate')).map(({ pictures }) => pictures.length)"
    tab.wait_for_function(f"{counts}.length === 41")
    found = tab.evaluate(counts)
    assert found[:2] == [1, 4] and found[-1] == 0 and found == [1, *sorted(found[1:], reverse=True)]


def test_styles_examples_and_what_is_said_of_a_prompt(open_page):
    tab = open_page("?tab=generate&steps=2&num_images=1")
    field, facts = tab.locator("#what-to-draw textarea"), tab.locator("#drawing-facts")
    tab.get_by_role("button", name="a cat face, noto style").click()
    expect(field).to_have_value("a cat face, noto style", timeout=10_000)
    tab.get_by_role("button", name="fluent", exact=True).click()
    expect(field).to_have_value("a cat face, fluent style", timeout=10_000)
    field.fill("a <b>xyzzyx</b> cat face 🐱")
    draw(tab)
    expect(facts).to_contain_text("Ignored, in no caption of the training: b, xyzzyx")
    expect(facts).to_contain_text("Read as:")
    field.fill("")
    draw(tab)
    expect(facts).to_contain_text("Nothing is asked for: the model draws whatever it likes.")
    field.fill("a" * 10_000)
    tab.locator("#draw-button").click()
    tab.get_by_text("prompt: 10000 characters; the limit is 500").first.wait_for(timeout=20_000)


@pytest.mark.parametrize("width", [390, 1440])
def test_chinese_and_narrow(open_page, width):
    tab = open_page("?tab=generate", locale="zh-CN", viewport={"width": width, "height": 900})
    tab.locator("#what-to-draw textarea").fill("a" * 10_000)
    tab.locator("#draw-button").click()
    tab.get_by_text("画什么：有 10000 个字符；最多 500 个").first.wait_for(timeout=20_000)
    tab.locator("#what-to-draw textarea").fill("")
    draw(tab)
    expect(tab.locator("#drawing-facts")).to_contain_text("没有指定内容")
    assert tab.get_by_role("button", name="再来一次").count() == 4
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    dropped(tab, b"")
    expect(tab.locator("#restored [role=alert]")).to_have_text("图片：不是 PNG 文件", timeout=20_000)


def test_the_keyboard_alone(open_page):
    tab = open_page("?tab=generate&prompt=a+rose&num_images=2&steps=2")
    tab.locator("#what-to-draw textarea").focus()
    reached = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        focused = tab.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''").strip()
        if focused == "Draw" and "Draw" not in reached:
            finish(tab, lambda: tab.keyboard.press("Enter"))
        reached.append(focused)
        if reached.count("Variations") == 2:
            finish(tab, lambda: tab.keyboard.press("Enter"))
            break
    else:
        pytest.fail(f"reached {reached}")
    assert {"Again", "noto", "Stop"} & set(reached) == {"Again", "noto"}  # nothing is to be stopped
    assert sum(name.startswith("PNG ") for name in reached) == 2
    assert "of" in tab.locator("#drawing figcaption").first.inner_text()


def test_styles_need_no_visit(page):
    """A visit that was evicted has lost the samples that came after the page was built."""
    styles = next(block for block in page.blocks.values() if isinstance(block, gr.Dataset) and not block.samples)
    events, model = DrawEvents(page.models), page.models.names("text_to_image")[0]
    prompts = [events.choose_style(styles.preprocess(i), "a cat face", model) for i in (0, 1)]
    assert prompts[0] != prompts[1] and all(prompt.endswith(" style") for prompt in prompts)
    with pytest.raises(gr.Error, match="style"):
        events.choose_style(styles.preprocess(99), "a cat face", model)
