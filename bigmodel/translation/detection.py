"""Which language a text is in: English, German, modern or classical Chinese, or none of them.

Latin letters are judged by language models: a word is among the frequent ones of a language, or is spelt letter by
letter by what usually follows two letters in such words. English and German have to win against the languages whose
common words are listed, so that what is unlike both comes out as unknown. Chinese characters are judged by a logistic
regression on characters and pairs, modern against classical. A text of several scripts gets a share of each.

    python -m bigmodel.translation.detection --data FOLDER

makes languages.json anew from the corpora in FOLDER (its hand-made parts, "common" and "simplified", are kept) and
prints the accuracy on the test files, on sentences of 20 characters or more.
"""

import json
import math
import re
import unicodedata
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"
CODES = ("en", "de", "zh", "lzh", UNKNOWN)
PATH = Path(__file__).with_name("languages.json")

_ENOUGH = 2_000  # characters that are looked at
_LATIN = "A-Za-zªºÀ-ÖØ-öø-\u024f\u1e00-\u1eff"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_WORDS = re.compile(f"[{_LATIN}]+(?:'[{_LATIN}]+)*")
_HAN_RUNS = re.compile(f"[{_HAN}]+")
_KANA = re.compile("[\u3041-\u30ff\u31f0-\u31ff]")
_HAN_LETTERS = 3  # a Chinese character says as much as so many Latin letters

_ORDER = 3  # letters that a language model looks at, the next one included
_LETTERS = 60  # that any language may have
_LISTED = 0.6  # share of a text that a language's frequent words make up
_RARE = math.log(0.02)  # how much rarer than English or German any other language is taken to be, in nats
_FREQUENT = 4_000  # words listed of English and of German
_FEATURES = 36_000  # weights of Chinese characters and pairs
_STEP = 10  # weights are whole numbers of 1 / _STEP nats
_EPOCHS, _BATCH, _RATE = 4, 2048, 0.3  # of their training

_EN_DE, _EN_ZH, _LZH_ZH = ("en", "de"), ("en", "zh"), ("lzh", "zh")
_TRAIN = {
    "en-de.multi30k.train.tsv.zst": _EN_DE,
    "en-zh.3am.train.tsv.zst": _EN_ZH,
    "en-zh.docs.train.tsv.zst": _EN_ZH,
    "en-zh.tatoeba.train.tsv.xz": _EN_ZH,
    "en.kids-classics.train.txt.zst": ("en",),
    "lzh-zh.classical-modern.train.tsv.zst": _LZH_ZH,
    "zh.poetry.train.tsv.zst": ("kind", "author", "title", "lzh"),
}
TESTS = {
    "en-de.multi30k.test_2016_flickr.tsv.xz": _EN_DE,
    "en-de.multi30k.test_2017_flickr.tsv.xz": _EN_DE,
    "en-zh.tatoeba-v2021-08-07.test.tsv.xz": _EN_ZH,
    "en-zh.flores101.devtest.tsv.xz": _EN_ZH,
    "en-zh.newstest2017.tsv.xz": _EN_ZH,
    "lzh-zh.classical-modern.test.tsv.xz": _LZH_ZH,
}


class LanguageDetector:
    """Tells the language of a text.

    Args:
        values: the content of languages.json: "common" (code -> frequent words of a language, by hand), "words" (the
            same for English and German, from corpora), "simplified" (traditional characters and theirs), "bias",
            "characters" and "pairs" (weight -> all that have it; a positive one speaks for classical Chinese).
    """

    def __init__(self, values):
        words = {**values["common"], **values["words"]}
        self._languages = {code: _Spelling(listed.split()) for code, listed in words.items()}
        self._simplified = str.maketrans(*values["simplified"])
        self._bias = values["bias"] / _STEP
        self._weights = {}
        for name, length in (("characters", 1), ("pairs", 2)):
            for weight, parts in values[name].items():
                for i in range(0, len(parts), length):
                    self._weights[parts[i : i + length]] = int(weight) / _STEP

    @classmethod
    @cache
    def load(cls, path=PATH):
        """Return the detector that a file holds, by default the shipped one; read once, since that takes a while."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8")))

    def detect(self, text):
        """Return the languages that a text may be in.

        Args:
            text: any text; its first 2,000 characters are looked at.

        Returns:
            list of (code, probability), the best first, of all CODES; "unknown" is any other language, and no letter.
        """
        text = unicodedata.normalize("NFKC", text[:_ENOUGH])
        words, runs = _latin_words(text), _HAN_RUNS.findall(text.translate(self._simplified))
        latin, han = sum(map(len, words)), sum(map(len, runs))
        other = max(sum(map(str.isalpha, text)) - latin - han, 0)
        if 10 * len(_KANA.findall(text)) > han:  # Japanese
            runs, han, other = [], 0, other + han
        letters = latin + _HAN_LETTERS * (han + other)
        found = dict.fromkeys(CODES, 0.0)
        for share, probabilities in (
            (latin, self._detect_latin(words)),
            (_HAN_LETTERS * han, self._detect_han(runs)),
            (_HAN_LETTERS * other if letters else 1, {UNKNOWN: 1.0}),
        ):
            for code, probability in probabilities.items():
                found[code if code in CODES else UNKNOWN] += probability * share / (letters or 1)
        return sorted(found.items(), key=lambda pair: -pair[1])

    def _detect_latin(self, words):
        counts = Counter(words)
        scores = {
            code: sum(count * language.log_probability(word) for word, count in counts.items())
            + (0 if code in CODES else _RARE)
            for code, language in self._languages.items()
        }
        best = max(scores.values())
        odds = {code: math.exp(score - best) for code, score in scores.items()}
        total = sum(odds.values())
        return {code: value / total for code, value in odds.items()}

    def _detect_han(self, runs):
        score = self._bias + sum(self._weights.get(part, 0) for part in _han_parts(runs))
        classical = 1 / (1 + math.exp(-max(min(score, 50), -50)))
        return {"lzh": classical, "zh": 1 - classical}


class _Spelling:
    """The words of a language: frequent ones by Zipf's law, any other letter by letter.

    Args:
        words: the most frequent first.

    Source: Witten and Bell 1991, "The zero-frequency problem", for letters that were not seen after others.
    """

    def __init__(self, words):
        odds = {word: 1 / (rank + 5) for rank, word in enumerate(words)}
        total = sum(odds.values())
        self._listed = {word: _LISTED * value / total for word, value in odds.items()}
        seen = defaultdict(Counter)  # letters before -> letter -> count
        for word in words:
            for before, letter in _spell(word):
                for i in range(len(before) + 1):
                    seen[before[i:]][letter] += 1
        self._unseen = {}  # letters before -> logarithm of what is left for the letters that were not seen after them
        self._seen = {}  # letters before and the letter -> logarithm of its probability
        for before, counts in sorted(seen.items(), key=lambda pair: len(pair[0])):
            total = counts.total() + len(counts)
            self._unseen[before] = math.log(len(counts) / total)
            for letter, count in counts.items():
                shorter = math.exp(self._letter(before[1:], letter)) if before else 1 / _LETTERS
                self._seen[before + letter] = math.log((count + len(counts) * shorter) / total)

    def log_probability(self, word):
        """Return the logarithm of a word's probability, in nats."""
        spelt = math.log(1 - _LISTED) + sum(self._letter(*step) for step in _spell(word))
        return math.log(self._listed[word] + math.exp(spelt)) if word in self._listed else spelt

    def _letter(self, before, letter):
        left = 0.0
        while before + letter not in self._seen:
            left += self._unseen.get(before, 0.0)
            if not before:
                return left - math.log(_LETTERS)
            before = before[1:]
        return left + self._seen[before + letter]


def _spell(word):
    """Yield (letters before, letter) for each letter of a word and for its end, a blank."""
    word = f" {word} "
    for i in range(1, len(word)):
        yield word[max(0, i + 1 - _ORDER) : i], word[i]


def _latin_words(text):
    return _WORDS.findall(text.lower().replace("’", "'"))


def _han_parts(runs):
    """Return the characters and the pairs of neighbours in runs of Chinese characters, each once, in order."""
    return dict.fromkeys(run[i : i + n] for run in runs for n in (1, 2) for i in range(len(run) - n + 1))


def accuracy(detector, texts, code):
    """Return how many texts have 20 characters or more, and the share of them that is found to be in ``code``."""
    found = [detector.detect(text)[0][0] == code for text in texts if len(text) >= 20]
    return len(found), sum(found) / max(len(found), 1)


def train(data, kept):
    """Return the values of a LanguageDetector from corpora.

    Args:
        data: folder of the corpora.
        kept: values whose hand-made parts are kept.

    Raises:
        DataError: a corpus is missing.
    """
    texts = defaultdict(list)  # code -> a list of texts a corpus
    for name, columns in _TRAIN.items():
        for code, column in zip(columns, zip(*_rows(data, name, columns), strict=True), strict=True):
            texts[code].append(column)
    words = {code: " ".join(_frequent(texts[code], kept["common"][code].split())) for code in _EN_DE}
    weights = _fit({code: [text for texts in texts[code] for text in texts] for code in _LZH_ZH})
    values = {"common": kept["common"], "simplified": kept["simplified"], "words": words}
    values["bias"] = weights.pop("")
    for name, length in (("characters", 1), ("pairs", 2)):
        grouped = defaultdict(list)
        for part, weight in weights.items():
            if len(part) == length:
                grouped[weight].append(part)
        values[name] = {str(weight): "".join(sorted(parts)) for weight, parts in sorted(grouped.items())}
    return values


def _rows(data, name, columns):
    from bigmodel.training.sources import read_rows

    return read_rows(Path(data) / name, columns)


def _frequent(corpora, common):
    """Return the most frequent words, all corpora and the hand-made list counting alike."""
    shares = Counter({word: 0.1 / (rank + 5) for rank, word in enumerate(common)})
    for texts in corpora:
        counts = Counter(word for text in texts for word in _latin_words(text))
        for word, count in counts.items():
            shares[word] += count / counts.total() / len(corpora)
    return [word for word, _ in shares.most_common(_FREQUENT)]


def _fit(texts):
    """Return part -> whole weight of the logistic regression "classical or modern", the bias under "".

    Args:
        texts: {"lzh": list of texts, "zh": list of texts}.

    Source: Duchi et al. 2011 (Adagrad).
    """
    import numpy as np

    parts = [_han_parts(_HAN_RUNS.findall(text)) for code in _LZH_ZH for text in texts[code]]
    labels = np.repeat([1.0, 0.0], [len(texts[code]) for code in _LZH_ZH])
    frequent = Counter(part for some in parts for part in some).most_common(_FEATURES)
    places = {part: place for place, (part, _) in enumerate(frequent, 1)}
    rows = [np.array([0, *(places[part] for part in some if part in places)]) for some in parts]  # 0: the bias
    weights, squares = np.zeros(len(places) + 1), np.full(len(places) + 1, 1e-6)
    rng = np.random.default_rng(0)
    for _ in range(_EPOCHS):
        order = rng.permutation(len(rows))
        for i in range(0, len(order), _BATCH):
            batch = order[i : i + _BATCH]
            which = np.repeat(np.arange(len(batch)), [len(rows[j]) for j in batch])
            columns = np.concatenate([rows[j] for j in batch])
            scores = np.bincount(which, weights[columns])
            errors = 1 / (1 + np.exp(-scores)) - labels[batch]
            gradient = np.bincount(columns, errors[which], len(weights)) / len(batch)
            squares += gradient**2
            weights -= _RATE * gradient / np.sqrt(squares)
    whole = np.rint(weights * _STEP).astype(int).tolist()
    return {"": whole[0], **{part: whole[place] for part, place in places.items() if whole[place]}}


def main():
    """Make languages.json anew and print the accuracy on the test files."""
    import argparse

    parser = argparse.ArgumentParser(description="Train the language detector.")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="the corpora")
    data = parser.parse_args().data
    values = train(data, json.loads(PATH.read_text(encoding="utf-8")))
    PATH.write_text(json.dumps(values, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    detector = LanguageDetector.load()
    for name, columns in TESTS.items():
        for code, column in zip(columns, zip(*_rows(data, name, columns), strict=True), strict=True):
            count, share = accuracy(detector, column, code)
            print(f"{name:42} {code:4} {count:6} {share:8.2%}")


if __name__ == "__main__":
    main()
