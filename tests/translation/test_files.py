"""Files keep all but their texts; whatever is wrong with one is said by its field."""

import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmodel.errors import InputError
from bigmodel.limits import LIMITS
from bigmodel.translation.files import _wrap, decode, output_name, read

SRT = (
    "1\r\n00:00:01,000 --> 00:00:02,500\r\nHello there,\r\nmy friend.\r\n\r\n"
    "2\r\n00:00:0x,000 --> broken\r\nkept as it is\r\n\r\n"
    "3\r\n00:00:03,000 --> 00:00:04,000 X1:40\r\n\r\n"
    "4\r\n00:01:00,000 --> 00:01:02,000\r\n<i>Bye.</i>\r\n"
    "5\r\n00:01:03,000 --> 00:01:04,000\r\n你好，\r\n世界"
)


@pytest.fixture
def write(tmp_path):
    """Function of a name and a content that writes a file and returns its path."""

    def make(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def upper(content):
    return content.render([unit.upper() for unit in content.units])


def refusal(path, column=None):
    with pytest.raises(InputError) as caught:
        read(path, column)
    return caught.value.field, str(caught.value)


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("Grüße, 你好 🦊\n", "utf-8", "utf-8"),
        ("Grüße, 你好\n", "utf-8-sig", "utf-8-sig"),
        ("Grüße, 你好\n", "utf-16", "utf-16"),
        ("Grüße aus Köln\n", "utf-16-le", "utf-16-le"),
        ("Grüße aus Köln\n", "utf-16-be", "utf-16-be"),
        ("今天天气很好，我们去公园。OK?\n", "gbk", "gb18030"),
        ("這是繁體中文，歡迎光臨。\n", "gb18030", "gb18030"),
        ("Schöne Grüße aus Köln – für 5 € „über“ Äpfel\n", "cp1252", "cp1252"),
        ("Was heißt „über“?", "cp1252", "cp1252"),
        ("Hello", "ascii", "utf-8"),
        ("", "ascii", "utf-8"),
    ],
)
def test_decoding(text, encoding, expected):
    assert decode(text.encode(encoding)) == (text, expected)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_every_utf8_text_is_decoded(text):
    text = text.lstrip("\ufeff")
    assert decode(text.encode()) == (text, "utf-8")


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(data):
    try:
        text, encoding = decode(data)
    except InputError as error:
        assert error.field == "file"
    else:
        assert data.decode(encoding) == text and "\0" not in text


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0",
        b"PK\x03\x04\x14\0\0\0\x08\0\xffabc",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        b"text\x81\n",  # no character of cp1252
        "兩隻狗在雪地裡玩。\n".encode("big5"),
        bytes(range(1, 32)) * 4,
        b"\xff\xfea",  # half a character
    ],
)
def test_a_binary_file_is_refused(write, data):
    assert refusal(write("a.txt", data)) == ("file", "file: is no text, or in an unknown encoding; save it as UTF-8")


@given(
    st.lists(st.sampled_from(["Hello.", "", "  ", "你好", "\u2028", "\x0b", "\n", "\r", "\r\n", "\n\n"])).map("".join)
)
def test_a_text_keeps_its_lines_and_their_ends(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("texts") / "a.txt"
    path.write_bytes(("x" + text).encode())
    content = read(path)
    marked = content.render([f"[{unit}]" if unit.strip() else unit for unit in content.units])
    ends = [c for c in marked if c in "\r\n"]
    assert ends == [c for c in text if c in "\r\n"]
    assert marked.replace("[", "").replace("]", "").split() == ("x" + text).split()


def test_lines_of_a_text(write):
    content = read(write("a.txt", "\ufeffOne.\r\n\r\n  Two.\nThree"))
    assert content.units == ["One.", "", "  Two.", "Three"]
    assert content.render(["Eins.", "", "Zwei.\nneu", None]) == "Eins.\r\n\r\nZwei. neu\n⚠ Three"
    tabs = read(write("b.txt", "\tOne \t two.\n"))
    assert tabs.render(tabs.units) == "\tOne \t two.\n"
    assert content.render([None] * 4) == "⚠ One.\r\n\r\n⚠   Two.\n⚠ Three"
    with pytest.raises(ValueError):
        content.render(["Eins."])


def test_cues_of_subtitles(write):
    content = read(write("a.srt", SRT))
    assert content.units == ["Hello there, my friend.", "<i>Bye.</i>", "你好，世界"]
    expected = SRT.replace("Hello there,\r\nmy friend.", "Hallo!").replace("<i>Bye.</i>", "⚠ <i>Bye.</i>")
    assert content.render(["Hallo!", None, "Welt"]) == expected.replace("你好，\r\n世界", "Welt")
    assert "\r\nno empty\r\nline at all\r\n\r\n2\r\n" in content.render(["no empty\r\n\r\nline at all", "", ""])


def test_a_cue_with_an_empty_line(write):
    times = "00:00:01,000 --> 00:00:02,500\n"
    text = f"a note\n\n1\n{times}Hello\n\nmore of it\n\n2\n{times}Bye\n"
    content = read(write("a.srt", text))
    assert content.units == ["Hello", "more of it", "Bye"] and content.render(content.units) == text


def test_a_cue_gets_its_lines_again(write):
    head = "1\r\n00:00:01,000 --> 00:00:02,500\r\n"
    content = read(write("a.srt", f"{head}<i>Good morning,\r\nmy friend.</i>\r\n"))
    assert content.render(["<i>Guten Morgen, mein Freund.</i>"]) == f"{head}<i>Guten Morgen,\r\nmein Freund.</i>\r\n"
    content = read(write("b.srt", f"{head}- Are you there,\r\nJohn?\r\n- Yes.\r\n"))
    assert content.units == ["- Are you there, John?\n- Yes."]
    assert content.render(["- Bist du da, Johann?\n- Ja."]) == f"{head}- Bist du\r\nda, Johann?\r\n- Ja.\r\n"


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("one two three four five six", 3, ["one two", "three four", "five six"]),
        (
            '<font color="#ffffff">Good morning, my friend</font>',
            2,
            ['<font color="#ffffff">Good morning,', "my friend</font>"],
        ),
        ("他说：“你好。”然后他就走了", 2, ["他说：“你好。”", "然后他就走了"]),
        ("今天天气很好，我们去公园里散步吧", 2, ["今天天气很好，", "我们去公园里散步吧"]),
        ("我们今天去公园", 2, ["我们今", "天去公园"]),
        ("Yes", 2, ["Yes"]),
        ("", 2, [""]),
    ],
)
def test_lines_of_nearly_equal_lengths(text, count, expected):
    assert _wrap(text, count) == expected


@pytest.mark.parametrize(
    ("name", "text", "column", "expected"),
    [
        ("a.csv", "id,text\r\n1,Hello\r\n2,\r\n", None, "id,text,translation\r\n1,Hello,HELLO\r\n2,,\r\n"),
        ("a.csv", "1,Hello\n2,Yes", None, "1,Hello,HELLO\n2,Yes,YES"),
        ("a.csv", "1,Hello\n2,Yes", 1, "1,Hello,1\n2,Yes,2"),
        ("a.csv", "en,de\nHi,Hallo\nYes,Ja\n", "en", "en,de,translation\nHi,Hallo,HI\nYes,Ja,YES\n"),
        ("a.csv", "id;text\n1;a, b\n", "2", "id;text;translation\n1;a, b;A, B\n"),
        ("a.csv", 'id,text\n1,"a ""b"", c"\n', None, 'id,text,translation\n1,"a ""b"", c","A ""B"", C"\n'),
        ("a.csv", 'id,text\n1,"two\nlines"\n', None, 'id,text,translation\n1,"two\nlines","TWO\nLINES"\n'),
        ("a.csv", "id,text\n1\n\n2,Hello\n", None, "id,text,translation\n1\n\n2,Hello,HELLO\n"),
        ("a.csv", "a,text,n\n1,Hello\n", "text", "a,text,n,translation\n1,Hello,,HELLO\n"),
        ("a.csv", "Good morning everyone\nHi\n", None, "Good morning everyone,GOOD MORNING EVERYONE\nHi,HI\n"),
        ("a.tsv", "id\ttext\n1\ta, b\n", None, "id\ttext\ttranslation\n1\ta, b\tA, B\n"),
        ("a.tsv", 'id\ttext\n1\t"Hi" he said\n', None, 'id\ttext\ttranslation\n1\t"Hi" he said\t"HI" HE SAID\n'),
        ("a.tsv", '1\t"I am\n2\tat sea"\n', None, '1\t"I am\t"I AM\n2\tat sea"\tAT SEA"\n'),
        ("a.CSV", "编号,文本\n1,你好啊朋友\n", "文本", "编号,文本,translation\n1,你好啊朋友,你好啊朋友\n"),
    ],
)
def test_a_table_gets_one_more_column(write, name, text, column, expected):
    assert upper(read(write(name, text), column)) == expected


CELLS = st.text("aé你 ,;\"'\n\r|", max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from(["\r\n", "\n"]))
def test_a_table_reads_as_before_with_one_more_cell(tmp_path_factory, rows, end):
    path, before = tmp_path_factory.mktemp("tables") / "a.csv", io.StringIO(newline="")
    csv.writer(before, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("id", "text"), *rows])
    path.write_text(before.getvalue(), encoding="utf-8", newline="")
    content = read(path, "text")
    assert content.units == [text for _, text in rows]
    after = list(csv.reader(io.StringIO(content.render([text + "!" for _, text in rows]), newline="")))
    assert after == [["id", "text", "translation"], *([i, text, text + "!"] for i, text in rows)]


def test_a_failed_cell_is_marked_in_the_added_column(write):
    content = read(write("a.csv", 'id,text\n1,"a, b"\n2,\n'))
    assert content.render([None, None]) == 'id,text,translation\n1,"a, b","⚠ a, b"\n2,,\n'


@pytest.mark.parametrize(
    ("name", "text", "column", "field", "message"),
    [
        ("a.docx", "x", None, "file", "file: .docx is unknown; give one of .txt, .csv, .tsv, .srt"),
        ("a", "x", None, "file", "file: no suffix is unknown"),
        ("a.txt", " \n", None, "file", "file: is empty"),
        ("a.csv", "", None, "file", "file: is empty"),
        ("a.srt", "1\n00:00 -> 00:01\nHello\n", None, "file", "file: has no time line, such as 00:00:01,000"),
        (
            "a.csv",
            'id,text\n1,"Hello\n2,Bye\n',
            None,
            "file",
            "unexpected end of data in the row that begins in line 2",
        ),
        ("a.tsv", "x" * 140_000 + "\ty\n", None, "file", "is no table: field larger than field limit"),
        ("a.csv", "id,text\n1,Hello\n", "name", "column", "'name' is not in the header; there are id, text"),
        ("a.csv", "id,text\n1,Hello\n", "3", "column", "3 is out of range; the table has 2 columns"),
        ("a.csv", "id,text\n1,Hello\n", "9" * 5_000, "column", "is out of range; the table has 2 columns"),
        ("a.csv", "id,text\n1,Hello\n", 0, "column", "0 is out of range"),
        ("a.csv", "id,text\n1,Hello\n", "-1", "column", "'-1' is not in the header"),
        ("a.csv", "id,text\n1,Hello\n", "²", "column", "'²' is not in the header"),
        ("a.txt", "Hello", "text", "column", "a .txt file has no columns"),
    ],
)
def test_what_is_wrong_is_said_by_its_field(write, name, text, column, field, message):
    found, said = refusal(write(name, text), column)
    assert found == field and message in said


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path):
    assert refusal(tmp_path / "none.txt")[0] == "file"
    (tmp_path / "folder.txt").mkdir()
    assert refusal(tmp_path / "folder.txt")[0] == "file"


def test_a_large_file_is_refused_before_it_is_read(write, monkeypatch):
    path = write("a.txt", b"a" * (LIMITS.file_bytes + 1))
    monkeypatch.setattr(type(path), "read_bytes", lambda self: pytest.fail("was read"))
    assert refusal(path) == ("file", "file: 5,000,001 bytes; the limit is 5,000,000")


def test_too_many_texts_are_refused(write):
    assert len(read(write("a.txt", "a\n" * LIMITS.file_texts)).units) == LIMITS.file_texts
    assert refusal(write("b.txt", "a\n" * 5_001)) == ("file", "file: 5,001 texts; the limit is 5,000")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "a,b\n" + "c,d\n" * 5_001, "file: 5,001 texts; the limit is 5,000"),
        ("a.csv", "," * 1_000 + "\n" + "ab\n" * 4_000, "file: 1,001 columns; the limit is 1,000"),
        ("a.csv", "a,b\n" + "\r\n" * 50_001, "file: 50,002 lines; the limit is 50,000"),
        ("a.srt", "\r" * 50_001 + "a", "file: 50,001 lines; the limit is 50,000"),
    ],
)
def test_rows_columns_and_lines_are_counted_before_they_cost(write, name, text, message):
    assert refusal(write(name, text)) == ("file", message)


def test_a_long_cell_is_no_traceback(write):
    assert refusal(write("a.csv", "id,text\n1," + "a" * 200_000 + "\n"))[0] == "file"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "text,number\nhi," + "1" * 130_000 + "x\n"),
        ("a.txt", "Hello" + " " * 1_000_000 + "world\n"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,500\n" + "a b\n" * 49_000),
    ],
)
def test_no_file_takes_long(write, name, text):
    start = time.perf_counter()
    content = read(write(name, text))
    content.render(content.units)
    assert time.perf_counter() - start < 5


def test_pages_and_marks_of_a_text_stay(write):
    text = "One.\n\fChapter two.\n\f\nA\u2028B \ue001\n"
    content = read(write("a.txt", text))
    assert content.render(content.units) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_only_plain_utf8_gets_no_mark(write, encoding):
    content = read(write("a.csv", "编号,菜名\n1,今天天气很好\n".encode(encoding)))
    assert content.encoding == ("utf-8" if encoding == "utf-8" else "utf-8-sig")


@given(
    st.sampled_from(["a.txt", "a.csv", "a.tsv", "a.srt"]),
    st.text('a1,;\t"\n\r 0:->你', min_size=1),
    st.sampled_from([None, "1", "a"]),
)
def test_any_content_is_read_or_refused(tmp_path_factory, name, text, column):
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(text.encode())
    try:
        content = read(path, column)
    except InputError as error:
        assert error.field in ("file", "column")
    else:
        assert isinstance(content.render([None] * len(content.units)), str)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("menu.txt", "menu.de.txt"),
        ("/tmp/up/../菜单 1.srt", "菜单 1.de.srt"),
        ("C:\\up\\menu.csv", "menu.de.csv"),
        ("a\r\nb\u202e\0.tsv", "ab.de.tsv"),
        ("../..", "translation.de"),
        (".txt", "txt.de"),
        ('<a>:"|?*.txt', "a.de.txt"),
        ("a" * 300 + ".txt", "a" * 100 + ".de.txt"),
    ],
)
def test_output_names(path, expected):
    assert output_name(path, "de") == expected


def test_a_stray_byte_does_not_make_a_file_western():
    text = "Zwei Männer stehen auf der Straße – groß.\n"
    for stray in (b"\xc3", b"caf\xe9\n"):
        with pytest.raises(InputError, match="is UTF-8, but not at byte"):
            decode(text.encode() + stray)


def test_fenced_code_of_a_text_stays(write):
    content = read(write("a.txt", "two dogs\n```py\nfor dog in dogs:\n```\na cat\n"))
    assert content.units == ["two dogs", "a cat"]
    assert upper(content) == "TWO DOGS\n```py\nfor dog in dogs:\n```\nA CAT\n"


def test_a_spreadsheets_own_line_says_what_separates_cells(write):
    content = read(write("a.csv", "sep=;\r\nid;text\r\n1;a, b, c and d\r\n"))
    assert upper(content) == "sep=;\r\nid;text;translation\r\n1;a, b, c and d;A, B, C AND D\r\n"
