"""The interface in English and Chinese: key -> words, looked up in the visitor's browser by gr.I18n."""

from gradio import I18n

ENGLISH = {
    "tagline": "Small transformers, trained in this repository, running on this machine.",
    "text": "Text",
    "about": "About",
    "model": "Model",
    "prompt": "Prompt",
    "prompt_hint": "Begin a story; the model goes on.",
    "first_words": "First words",
    "first_words_hint": "The beginning of the poem, or nothing",
    "kind": "Kind",
    "form": "Form",
    "author": "In the manner of",
    "author_hint": "A poet, such as 李白",
    "title": "Title",
    "title_hint": "Such as 秋夜",
    "acrostic": "Acrostic",
    "acrostic_hint": "Each line begins with one of these characters",
    "any": "any",
    "generate": "Write",
    "stop": "Stop",
    "again": "Again",
    "surprise": "Surprise me",
    "examples": "Try one",
    "sampling": "Sampling",
    "max_new_tokens": "Length",
    "max_new_tokens_hint": "Tokens to write, at most",
    "temperature": "Temperature",
    "temperature_hint": "0 always takes the likeliest token",
    "top_k": "Top k",
    "top_k_hint": "Choose among this many; 0: all",
    "top_p": "Top p",
    "top_p_hint": "Choose among the likeliest that reach this share",
    "seed": "Seed",
    "seed_hint": "Empty: a new one each time",
    "result": "Text",
    "placeholder": "What the model writes appears here, token by token.",
    "next": "What comes next",
    "instead": "Instead of",
    "alternatives_hint": "Choose one to go on from it. Click a word in the text to see what else it could have been.",
    "end": "the end",
    "tokens_per_second": "tokens/s",
    "tokens": "tokens",
    "seed_is": "seed",
    "link": "link",
    "skipped": "Skipped, not known to this model:",
    "time_limit": "stopped at the time limit",
    "broken_models": "This host serves without",
    "no_models": "No model is here yet. Train and export one, or name its folder in BIGMODEL_MODELS.",
    "this_host": "This host",
    "status": "Status",
    "ready": "ready",
    "loading": "loading",
    "broken": "refused",
    "provider": "Runs on",
    "versions": "Versions",
}

CHINESE = {
    "tagline": "小型 Transformer：在本仓库中训练，在这台机器上运行。",
    "text": "文本",
    "about": "关于",
    "model": "模型",
    "prompt": "开头",
    "prompt_hint": "写下故事的开头，模型会接着写。",
    "first_words": "起句",
    "first_words_hint": "诗的开头几个字，可不填",
    "kind": "体裁",
    "form": "格律",
    "author": "仿作者",
    "author_hint": "诗人，例如 李白",
    "title": "题目",
    "title_hint": "例如 秋夜",
    "acrostic": "藏头",
    "acrostic_hint": "每句以其中一字开头",
    "any": "不限",
    "generate": "写作",
    "stop": "停止",
    "again": "再来一次",
    "surprise": "换一篇",
    "examples": "试试看",
    "sampling": "采样设置",
    "max_new_tokens": "长度",
    "max_new_tokens_hint": "最多生成的词元数",
    "temperature": "温度",
    "temperature_hint": "0 表示总取最可能的词元",
    "top_k": "Top k",
    "top_k_hint": "只在最可能的若干个中选；0 为不限",
    "top_p": "Top p",
    "top_p_hint": "只在累计概率达到此值的词元中选",
    "seed": "种子",
    "seed_hint": "留空则每次随机",
    "result": "文本",
    "placeholder": "模型写下的文字会逐字出现在这里。",
    "next": "接下来会是",
    "instead": "可替换",
    "alternatives_hint": "点一个就从它接着写；点正文里的字，可看此处的其他可能。",
    "end": "结束",
    "tokens_per_second": "词元/秒",
    "tokens": "词元",
    "seed_is": "种子",
    "link": "链接",
    "skipped": "已跳过此模型不认识的字符：",
    "time_limit": "已到时限",
    "broken_models": "未能载入的模型：",
    "no_models": "还没有模型。请先训练并导出，或用 BIGMODEL_MODELS 指定模型文件夹。",
    "this_host": "本机",
    "status": "状态",
    "ready": "就绪",
    "loading": "载入中",
    "broken": "已拒绝",
    "provider": "运行于",
    "versions": "版本",
}

# zh-TW and plain zh visitors read Chinese as well
I18N = I18n(en=ENGLISH, **dict.fromkeys(("zh-CN", "zh-TW", "zh"), CHINESE))


def t(key):
    """Return the placeholder of a text, for a label; the browser shows it in the visitor's language.

    Raises:
        KeyError: no such text.
    """
    ENGLISH[key]
    return I18N(key)


def words(key):
    """Return the mark that ``page.js`` replaces by a text, for use inside the HTML of ``html_block``.

    Raises:
        KeyError: no such text.
    """
    ENGLISH[key]
    return f"⟦{key}⟧"
