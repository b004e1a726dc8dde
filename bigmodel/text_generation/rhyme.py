"""Do the even lines of a poem rhyme? By modern Mandarin, which forgives and forgets some classical rhymes."""

from functools import cache

from bigmodel.text_generation.poetry import split_lines

# 中华新韵's rhymes, without medials; 支 and 齐 are one here, as in 十三辙: one classical rhyme became both
RHYMES = {
    "麻": "a ia ua",
    "波": "o e uo",
    "皆": "ie ve ê",
    "开": "ai uai",
    "微": "ei uei",
    "豪": "ao iao",
    "尤": "ou iou",
    "寒": "an ian uan van",
    "文": "en in uen vn",
    "唐": "ang iang uang",
    "庚": "eng ing ueng ong iong",
    "齐": "i er v",
    "姑": "u",
}
_RHYME_OF = {final: rhyme for rhyme, finals in RHYMES.items() for final in finals.split()}


@cache
def rhymes(character):
    """Return the set of rhymes of a character, one for each of its readings; empty where it has none.

    Source: 中华新韵 (2005); readings by pypinyin.
    """
    from pypinyin import Style, pinyin

    finals = pinyin(character, style=Style.FINALS, heteronym=True, strict=True, errors="ignore")
    return frozenset(_RHYME_OF[final] for readings in finals for final in readings if final in _RHYME_OF)


def share_rhyme(characters):
    """Whether two or more characters all rhyme with each other; of several readings any will do."""
    sets = [rhymes(character) for character in characters]
    return len(sets) > 1 and bool(frozenset.intersection(*sets))


def line_ends(body):
    """Return the last characters of a body's even lines, which are those that rhyme."""
    return [line[-1] for line in split_lines(body)[1::2]]


def rhymed(body):
    """Whether all even lines of a body rhyme; a body with fewer than two even lines does not."""
    return share_rhyme(line_ends(body))
