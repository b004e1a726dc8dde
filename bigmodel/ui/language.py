"""The visitor's language on the server: of what Gradio's own translation in the browser does not reach."""

import re

from gradio.context import LocalContext

from bigmodel.ui.texts import CHINESE, ENGLISH

# a field is called by its label; these labels have keys of another name
FIELDS = {
    "text": "source_text",
    "source": "source_language",
    "target": "target_language",
    "file": "translate_file",
    "image": "picture",
    "images": "several_pictures",
    **dict.fromkeys(("passage", "place", "index"), "result"),
}
COOKIE = "bigmodel-language"  # set by the page's switch, in page.js

# what errors say, in English and in Chinese; {} stands for a value, which is translated likewise
MESSAGES = {
    "is empty; give 1 to {} characters": "为空；请输入 1 到 {} 个字符",
    "{} characters; the limit is {}": "有 {} 个字符；最多 {} 个",
    "{} characters; give 1 to {}": "有 {} 个字符；请输入 1 到 {} 个",
    "{} tokens; the limit is {}": "有 {} 个词元；最多 {} 个",
    "must be a text, not {}": "应为文本，而不是 {}",
    "must be a list of texts": "应为文本列表",
    "must be a JSON object": "应为 JSON 对象",
    "special tokens (<|…|>) are not allowed": "不能包含特殊词元 (<|…|>)",
    "special tokens (<|…|>) are not allowed here": "此处不能包含特殊词元 (<|…|>)",
    "holds half a character (a surrogate)": "含有不完整的字符",
    "{} is not {}": "{} 不是{}",
    "{} is not {}; {}": "{} 不是{}；{}",
    "{} is out of range; {}": "{} 超出范围；{}",
    "{} is out of range; the table has {} columns": "{} 超出范围；此表有 {} 列",
    "give {} from {} to {}": "请给出 {1} 到 {2} 之间的{0}",
    "{}; give {} from {} to {}": "{0}；请给出 {2} 到 {3} 之间的{1}",
    "a whole number": "整数",
    "a number": "数",
    "{} is unknown; choose one of {}": "{} 未知；可选 {}",
    "{} is unknown; give one of {}": "{} 未知；可用 {}",
    "{} is not served: {}": "{} 未能载入：{}",
    "none is here": "（无）",
    "this host has no text model": "此处没有写作模型",
    "this host has no translator": "此处没有翻译模型",
    "this host has no image generator": "此处没有绘图模型",
    "is no PNG file": "不是 PNG 文件",
    "is damaged": "已损坏",
    "its {} has {} bytes; the limit is {}": "其中 {} 有 {} 字节；最多 {}",
    "says nothing of how it was made; give one that was made here": "没有说明是如何生成的；请放入此处生成的图片",
    "the model knows none of its characters; it writes {}": "模型不认识其中任何字符；它会写 {}",
    "the model does not know {}": "模型不认识 {}",
    "characters only, without punctuation and blanks": "只能是文字，不含标点和空格",
    "a line of the poem begins with {}": "诗中有一行以“{}”开头",
    "{} is not translated here; {}": "此处不翻译{}；{}",
    "the text is {} already; choose another language": "原文已经是{}；请选择其他语言",
    "no model translates {} to {}; {}": "没有把{}译成{}的模型；{}",
    "this language was not recognised; {}": "未能识别这种语言；{}",
    "this host translates {}": "此处可以翻译：{}",
    "{} to {}": "{}到{}",
    "is missing; draw something": "缺失；请画点什么",
    "is missing; choose a txt, csv, tsv or srt file": "缺失；请选择 txt、csv、tsv 或 srt 文件",
    "holds no text to translate": "没有可翻译的文字",
    "took longer than {} minutes; divide it": "超过 {} 分钟；请分成几份",
    "no suffix": "无后缀",
    "is of a type that is not taken; give {}": "类型不被接受；可用 {}",
    "a {} file has no columns": "{} 文件没有列",
    "{} bytes; the limit is {}": "有 {} 字节；最多 {}",
    "cannot be read ({})": "无法读取（{}）",
    "is empty": "为空",
    "is missing; give a picture": "缺失；请给一张图片",
    "are missing; choose some": "缺失；请选择图片",
    "{} pictures; at most {} at once": "有 {} 张图片；一次最多 {} 张",
    "cannot be read": "无法读取",
    "cannot be read as a picture; give a whole {} file": "无法作为图片读取；请给完整的 {} 文件",
    "is larger than {} MB": "大于 {} MB",
    "has more than {} million pixels": "超过 {} 百万像素",
    "is {}x{} pixels; at most {} million, {} a side": "有 {}x{} 像素；最多 {} 百万像素，每边 {}",
    "is not an array (height, width, 3) of uint8": "不是 uint8 的数组（高，宽，3）",
    "has {} channels; give 1, 3 or 4": "有 {} 个通道；请给 1、3 或 4 个",
    "this host has no classifier": "此处没有识别模型",
    "this host has no detector": "此处没有检测模型",
    "knows nothing that can be drawn here; give a picture": "所认识的东西此处都画不出来；请给一张图片",
    "{} texts; the limit is {}": "有 {} 段文字；最多 {} 段",
    "{} lines; the limit is {}": "有 {} 行；最多 {} 行",
    "{} columns; the limit is {}": "有 {} 列；最多 {} 列",
    "a file at another address is not fetched; upload it": "不读取其他地址的文件；请上传",
    "give a text, or up to {} texts of up to {} characters": "请给一段文字，或最多 {} 段、每段最多 {} 个字符的文字",
    "is gone; drop it again": "已不在此处；请重新拖放",
    "is gone, or was never there; give it again": "已不在此处，或从未有过；请重新给出",
    "is UTF-8, but not at byte {}; save it again as UTF-8": "是 UTF-8，但第 {} 个字节不是；请重新存为 UTF-8",
    "is no text, or in an unknown encoding; save it as UTF-8": "不是文本，或编码未知；请存为 UTF-8",
    "has no time line, such as 00:00:01,000 --> 00:00:02,500": "没有时间行，例如 00:00:01,000 --> 00:00:02,500",
    "is no table: {}": "不是表格：{}",
    "'{}' expected after '\"'": '引号 (") 之后应为 {}',
    "unexpected end of data": "引号没有结束",
    "field larger than field limit ({})": "单元格过长（超过 {} 个字符）",
    "{} in the row that begins in line {}": "从第 {1} 行开始的一行：{0}",
    "{} is not in the header; there are {}": "表头中没有 {}；有 {}",
    "This did not work, and it is our fault. The log has it as request {}.": "未能完成，错在我们。日志编号：{}。",
    "{} (request {})": "{}（请求 {}）",
    "the request is not what this address takes": "此地址不接受这样的请求",
    "this did not work, and it is our fault": "未能完成，这是我们的错",
    "the server has no room for files now; try again later": "服务器已没有存放文件的空间；请稍后再试",
    "there is nothing here": "此处没有内容",
    "too many requests at once; the limit is {}": "同时的请求过多；最多 {} 个",
    "requests from other sites are refused": "不接受来自其他网站的请求",
    "Content-Length must be a number": "Content-Length 应为数字",
    "the server is being stopped; try again soon": "服务器正在停止；请稍后再试",
    "the server's memory is full; try again soon": "服务器内存已满；请稍后再试",
    "the server has as many visitors as it can have; try again soon": "访问者过多；请稍后再试",
    "the request came too slowly": "请求传来得太慢",
    "the request is too large; the limit is {} bytes": "请求过大；最多 {} 字节",
    "too many requests; the limit is {} requests a minute": "请求过多；每分钟最多 {} 次",
    "you have as many requests of this kind under way as one visitor may; wait until one has ended": (
        "您同时进行的此类请求已达上限；请等其中一个结束"
    ),
}
_NAMES = {ENGLISH[key]: CHINESE[key] for key in ENGLISH if key.startswith("language_")}
# the longest first, so that a template of values alone comes last
_PATTERNS = [
    (re.compile("(.+?)".join(map(re.escape, template.split("{}"))), re.DOTALL), chinese)
    for template, chinese in sorted(MESSAGES.items(), key=lambda item: -len(item[0].replace("{}", "")))
]


def visitor_language(request=None):
    """Return "zh" or "en": what the visitor chose with the switch, else what the browser asks for.

    Args:
        request: gr.Request; None takes that of the event which is being answered.
    """
    request = request or LocalContext.request.get(None)
    if request is None:
        return "en"
    asked = request.cookies.get(COOKIE) or request.headers.get("accept-language", "")
    return "zh" if asked.lower().startswith("zh") else "en"


def translated(message, language, labels=None):
    """Return an error's text in a language; what is not in MESSAGES stays as it is.

    Args:
        message: English, "field: what is wrong".
        language: "en" or "zh".
        labels: field -> key of its label, where a tab calls a field other than FIELDS does.
    """
    if language == "en":
        return message
    field, colon, said = message.partition(": ")
    if colon and re.fullmatch(r"\w+", field):
        return f"{CHINESE.get({**FIELDS, **(labels or {})}.get(field, field), field)}：{_chinese(said)}"
    return _chinese(message)


def word(key):
    """Return a text of the interface in the visitor's language, for what Gradio shows without translating it."""
    return (CHINESE if visitor_language() == "zh" else ENGLISH)[key]


def _chinese(text):
    if text in _NAMES:
        return _NAMES[text]
    for pattern, chinese in _PATTERNS:
        if found := pattern.fullmatch(text):
            return chinese.format(*map(_chinese, found.groups()))
    parts = text.split(", ")
    return "、".join(map(_chinese, parts)) if len(parts) > 1 else text
