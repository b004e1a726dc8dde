"""What others see of the page before they open it."""

import re

import httpx

from bigmodel.ui.language import COOKIE
from bigmodel.ui.metadata import SIZE, rewrite


def test_a_shared_address_names_the_page(page):
    answer = httpx.get(page.local_url, headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "big.example"})
    found = dict(re.findall(r'<meta (?:property|name)="((?:og|twitter):\w+)" content="([^"]*)"', answer.text))
    assert found["og:title"].startswith("BigModel") and found["og:url"] == "https://big.example/"
    assert found["og:image"] == found["twitter:image"] == "https://big.example/pictures/preview.png"
    assert "Gradio" not in " ".join(found.values())
    assert answer.text.count("og:title") == answer.text.count('name="description"') == 1
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_its_description_is_in_the_visitors_language_and_names_every_tab(page):
    def description(**headers):
        return re.search(r'name="description" content="([^"]*)"', httpx.get(page.local_url, headers=headers).text)[1]

    chinese = description(**{"accept-language": "zh-CN,zh;q=0.9"})
    assert all(word in chinese for word in ("诗", "翻译", "画图", "识别", "清点"))
    assert all(word in description() for word in ("poems", "translate", "draw", "name what they show", "count"))
    assert description(**{"accept-language": "zh-CN", "cookie": f"{COOKIE}=en"}) == description()
    assert "cookie" in httpx.get(page.local_url).headers["vary"]


def test_picture_icon_and_manifest(page):
    picture = httpx.get(f"{page.local_url}pictures/preview.png")
    assert picture.headers["content-type"] == "image/png" and len(picture.content) < 100_000
    assert tuple(int.from_bytes(picture.content[i : i + 4]) for i in (16, 20)) == SIZE
    assert httpx.get(f"{page.local_url}favicon.ico").headers["content-type"].startswith("image/svg")
    manifest = httpx.get(f"{page.local_url}manifest.json").json()
    assert manifest["name"] == "BigModel"
    icon = httpx.get(page.local_url + manifest["icons"][0]["src"])
    assert icon.headers["content-type"].startswith("image/svg")


def test_no_element_of_the_page_is_lost():
    page = '<head>\n<meta charset="utf-8" />\n<meta property="og:title"\n content="Gradio" />\n</head><p>og:title</p>'
    found = rewrite(page, "http://a/")
    assert '<meta charset="utf-8" />' in found and "Gradio" not in found and found.endswith("<p>og:title</p>")
