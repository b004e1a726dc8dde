"""The Translate tab: its endpoints as others call them, and the tab in a real browser."""

import re
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import expect

ENGLISH = "A man rides a red bike in the snow."
GERMAN = "Ein Mann fährt auf einem roten Fahrrad."


@pytest.fixture(scope="module")
def client(page):
    return Client(page.local_url, verbose=False)


def test_names_order_and_defaults(client):
    endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/translate"]
    names = [p["parameter_name"] for p in endpoint["parameters"]]
    assert names == ["text", "source", "target", "num_beams", "num_alternatives"]
    assert all(p["parameter_has_default"] for p in endpoint["parameters"][1:])


def test_first_argument_alone_detects_the_language(client):
    text, source, table = client.predict(ENGLISH, api_name="/translate")
    assert source == "en" and text and table["headers"] == ["sentence", "translation", "score"]
    assert [row[0] for row in table["data"]] == [ENGLISH] * 3 and table["data"][0][1] == text
    assert client.predict(GERMAN, api_name="/translate")[1] == "de"


def test_equal_alone_and_at_once(client):
    jobs = [client.submit(ENGLISH, num_beams=1, num_alternatives=1, api_name="/translate") for _ in range(4)]
    assert len({job.result()[0] for job in jobs}) == 1


@pytest.mark.parametrize("text", ["12345", "😀😀 🎉"])
def test_a_text_without_letters_comes_back(client, text):
    found, source, _ = client.predict(text, api_name="/translate")
    assert (found, source) == (text, "en")


def test_subtitles_keep_their_tags(client, tmp_path):
    head = "1\n00:00:01,000 --> 00:00:02,500\n"
    (tmp_path / "a.srt").write_text(f"{head}<i>A man rides a red bike\nin the snow with two dogs.</i>\n")
    result = client.predict(handle_file(tmp_path / "a.srt"), "en", "de", api_name="/translate_file")
    lines = Path(result).read_text().splitlines()
    assert "\n".join(lines[:2]) + "\n" == head and lines[2].startswith("<i>") and lines[-1].endswith("</i>")


BAD = [
    ({"text": " "}, "text: is empty"),
    ({"text": "a" * 5001}, "text: 5001 characters; the limit is 5000"),
    ({"text": ENGLISH, "source": "fr"}, "source: 'fr' is unknown; choose one of auto, en, de"),
    ({"text": ENGLISH, "source": "zh"}, "source: Chinese is not translated here; this host translates English to Ger"),
    ({"text": ENGLISH, "target": "en"}, "target: the text is English already"),
    ({"text": ENGLISH, "source": "en", "target": "zh"}, "target: no model translates English to Chinese"),
    ({"text": "Это очень красивый дом."}, "source: this language was not recognised"),
    ({"text": "床前明月光，疑是地上霜。"}, "source: "),
    ({"text": ENGLISH, "num_beams": 11}, "num_beams: 11 is out of range; give a whole number from 1 to 10"),
    ({"text": ENGLISH, "num_alternatives": 0}, "num_alternatives: 0 is out of range"),
]


@pytest.mark.parametrize("values, message", BAD, ids=[message for _, message in BAD])
def test_bad_input_is_refused_with_its_field(page, values, message):
    answer = httpx.post(f"{page.local_url}gradio_api/call/v2/translate", json=values)
    assert answer.status_code == 422
    wrong = [part["message"] for part in answer.json()["detail"] if not part["is_valid"]]
    assert len(wrong) == 1 and wrong[0].startswith(message) and "Traceback" not in answer.text


STRANGE = [
    "<|de-en|> <|endoftext|>",
    "a\u200bb\u200d c\ufeff",
    "\u202eabc def",
    "x" * 5000,
    "\ue000\ue001 dogs",
    "\0 dogs",
]


@pytest.mark.parametrize("text", STRANGE, ids=range(len(STRANGE)))
def test_strange_texts_get_an_answer(client, text):
    assert isinstance(client.predict(text, "en", num_beams=1, api_name="/translate")[0], str)


def test_a_file_keeps_its_lines(client, tmp_path):
    lines = ["# Dogs", "", ENGLISH, "12 + 3", "- Two dogs play.", "-" * 30, "* " * 15]
    (tmp_path / "menu.txt").write_bytes("\r\n".join(lines).encode("utf-16"))
    result = client.predict(handle_file(tmp_path / "menu.txt"), "en", "de", api_name="/translate_file")
    assert result.endswith("menu.de.txt")
    written = Path(result).read_bytes()
    found = written.decode("utf-8-sig").split("\r\n")
    assert written.startswith(b"\xef\xbb\xbf") and len(found) == 7 and found[5:] == lines[5:]
    assert found[0].startswith("# ") and found[1] == "" and found[3] == "12 + 3"
    assert found[4].startswith("- ") and found[2] != ENGLISH


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\x7fELF\0\0\1\2" * 9, "file: "),
        ("a.csv", b'a,b\n"x,y\n', "file: "),
        ("a.srt", b"no times here\n", "file: "),
        ("a.txt", b"\n\n", "file: is empty"),
        ("a.exe", b"MZ", "file: is of a type that is not taken"),
    ],
)
def test_a_broken_file_is_refused(client, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AppError, match=message):
        client.predict(handle_file(tmp_path / name), "en", "de", api_name="/translate_file")


def test_an_unknown_column_is_named(client, tmp_path):
    (tmp_path / "a.csv").write_text(f"id,text\n1,{ENGLISH}\n")
    arguments = handle_file(tmp_path / "a.csv"), "auto", "de"
    with pytest.raises(AppError, match="column: "):
        client.predict(*arguments, "price", api_name="/translate_file")
    table = Path(client.predict(*arguments, "text", api_name="/translate_file")).read_text().splitlines()
    assert table[0] == "id,text,translation" and table[1].startswith("1,")


def translated(tab):
    expect(tab.locator("#translation textarea")).not_to_have_value(re.compile("^…?$"))
    return tab.locator("#translation textarea").input_value()


def test_typing_translates_after_a_pause(open_page):
    tab = open_page("?tab=translate")
    tab.locator("#source-text textarea").press_sequentially(ENGLISH, delay=5)
    assert translated(tab)
    expect(tab.locator("#translate-facts")).to_contain_text("detected: English · 1/1 sentences")
    tab.locator("#attention thead th").nth(5).wait_for()
    tab.locator("#other-ways li").nth(2).wait_for()
    rows, columns = tab.locator("#attention tbody tr"), tab.locator("#attention thead th")
    assert rows.count() > 2 and columns.count() > 4
    assert tab.locator("#attention tbody tr").first.locator("td").count() == columns.count()
    tab.get_by_text("In words").click()  # what the shades show, for those who do not see them
    assert tab.locator("#attention li").count() == rows.count()


@pytest.mark.parametrize(("locale", "said"), [("en-US", "First sentence"), ("zh-CN", "仅限第一句")])
def test_where_it_looked_is_said_to_be_of_the_first_sentence(open_page, locale, said):
    tab = open_page("?tab=translate", locale=locale)
    tab.locator("#source-text textarea").fill(f"{ENGLISH} Two dogs play.")
    expect(tab.locator("#attention")).to_contain_text(said)


def test_numbers_alone_come_back_in_place(open_page):
    tab = open_page("?tab=translate")
    tab.locator("#source-text textarea").fill("12345")
    expect(tab.locator("#translation textarea")).to_have_value("12345")
    expect(tab.locator("#translate-facts")).to_contain_text("English → German")


def test_control_enter_and_swap(open_page):
    tab = open_page("?tab=translate")
    text = tab.locator("#source-text textarea")
    text.fill(ENGLISH)
    text.press("Control+Enter")
    before = translated(tab)
    tab.get_by_role("button", name="Swap languages", exact=True).click()
    expect(text).to_have_value(before)
    assert (
        tab.get_by_label("From", exact=True).input_value() == "Deutsch"
        and tab.get_by_label("To", exact=True).input_value() == "English"
    )


def test_what_cannot_be_translated_is_said_in_place(open_page):
    tab = open_page("?tab=translate")
    tab.locator("#source-text textarea").fill("Это очень красивый дом.")
    expect(tab.locator("#translate-facts")).to_contain_text("source: this language was not recognised")


def test_a_file_by_the_page(open_page, tmp_path):
    (tmp_path / "dogs.txt").write_text(f"{ENGLISH}\nTwo dogs play.\n")
    tab = open_page("?tab=translate")
    tab.get_by_role("button", name="Translate a file").click()
    tab.locator("#file-panel input[type=file]").first.set_input_files(tmp_path / "dogs.txt")
    tab.get_by_text("dogs.txt").first.wait_for()
    tab.get_by_role("button", name="Translate file").click()
    tab.get_by_text(re.compile(r"dogs\.de.*txt")).first.wait_for()


@pytest.mark.parametrize("width", [390, 1440])
def test_chinese_and_narrow(open_page, width):
    tab = open_page("?tab=translate", locale="zh-CN", viewport={"width": width, "height": 900})
    expect(tab.get_by_label("源语言")).to_be_visible()
    expect(tab.get_by_role("button", name="交换语言", exact=True)).to_be_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
