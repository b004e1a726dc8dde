"""TextGenerator: the same text alone, together, streamed, from other threads and from stock transformers."""

import gc
import itertools
import math
import threading
import time
from collections import deque

import numpy as np
import pytest

from bigmodel.errors import InputError
from bigmodel.runtime.batching import Ending, SharedBatch
from bigmodel.runtime.tokenizer import Tokenizer
from bigmodel.text_generation import runtime
from bigmodel.text_generation.poetry import Acrostic, encode_prompt, form_for_acrostic, form_of
from bigmodel.text_generation.runtime import START, TextGenerator

PROMPTS = ["Once upon", "The quick brown fox jumps over the lazy", "", "“Good morning,” said the 🦊", "a"]


@pytest.fixture(autouse=True)
def no_slot_leaks(request):
    """Every test gives back what it took."""
    yield
    gc.collect()
    for name in ("stories", "poems"):
        if name in request.fixturenames:
            assert request.getfixturevalue(name).batch.active == 0


def test_attributes(stories, poems, tiny_stories):
    assert stories.folder.path == tiny_stories and stories.provider == "cpu"
    assert (stories.format, poems.format) == ("plain", "poetry")
    assert stories.config["model_type"] == "qwen3"
    assert stories.defaults["top_k"] == 40
    assert poems.vocabulary["床"] > 16


def test_a_cache_without_room_leaves_the_next_provider_its_turn(tiny_stories, monkeypatch):
    real, tried = runtime.Decoder, []

    def decoder(*arguments):
        tried.append(arguments)
        if len(tried) % 2:
            raise RuntimeError("CUDA failure 2: out of memory")
        return real(*arguments)

    monkeypatch.setattr(runtime, "Decoder", decoder)
    generator = TextGenerator.from_pretrained(tiny_stories, providers=["cpu", "cpu"], threads=1)
    assert generator.skipped == ("cpu: CUDA failure 2: out of memory",)
    assert generator.generate(["Once"], max_new_tokens=2)[0]
    with pytest.raises(RuntimeError, match="out of memory"):
        TextGenerator.from_pretrained(tiny_stories, providers="cpu")


def test_pieces_join_to_the_text(stories):
    for seed, prompt in enumerate(PROMPTS):
        pieces = list(stories.stream(prompt, seed=seed))
        assert all(pieces) and len(pieces) > 1
        assert "".join(pieces) == stories.generate([prompt], seed=seed)[0]


def test_alone_equals_in_a_batch(stories):
    prompts = [PROMPTS[i % 5] for i in range(23)]  # more than there are slots
    alone = [stories.generate([p], seed=i, max_new_tokens=10 + i)[0] for i, p in enumerate(prompts)]
    together = stories.generate(prompts, seeds=range(23), max_new_tokens=33)
    assert all(long.startswith(short.rstrip("\ufffd")) for short, long in zip(alone, together, strict=True))
    assert together == stories.generate(prompts, seeds=range(23), max_new_tokens=33)
    assert len(set(together)) == 23


def test_threads_share_the_batch(stories):
    expected = stories.generate(PROMPTS, seeds=range(5))
    got, errors = {}, []

    def work(i):
        try:
            for _ in range(3):
                got[i] = "".join(stories.stream(PROMPTS[i % 5], seed=i % 5))
                assert got[i] == expected[i % 5]
        except BaseException as error:
            errors.append(error)

    before = threading.active_count()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(24)]  # more than there are slots
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors and len(got) == 24
    assert threading.active_count() == before


def test_seeds(stories):
    first, second, again = (stories.generate(["Once"], seed=s)[0] for s in (1, 2, 1))
    assert first == again != second
    assert stories.generate(["Once"], temperature=0, seed=1) == stories.generate(["Once"], temperature=0, seed=2)
    assert stories.generate(["Once"], top_k=1, seed=1) == stories.generate(["Once"], temperature=0)


def test_abandoned_streams_free_their_slot_at_once(stories):
    streams = [stories.stream("Once", max_new_tokens=1000) for _ in range(40)]
    assert stories.batch.active == 0  # nothing is taken before the first token
    opened = streams[: stories.batch.slots]
    for stream in opened:
        next(stream)
    assert stories.batch.active == len(opened)
    opened[3].close()
    assert stories.batch.active == len(opened) - 1
    next(streams[-1])  # finds the free slot without waiting
    del opened, streams, stream
    gc.collect()
    assert stories.batch.active == 0


def test_a_full_batch_waits_for_a_slot(stories):
    streams = [stories.stream("Once", max_new_tokens=1000) for _ in range(stories.batch.slots)]
    for stream in streams:
        next(stream)
    assert list(stories.stream("Once", deadline=0.1)) == []
    closer = threading.Timer(0.2, streams[0].close)
    closer.start()
    assert "".join(stories.stream("Once", seed=4, max_new_tokens=5))
    closer.join()
    for stream in streams:
        stream.close()


def test_who_waits_for_a_slot_can_leave(stories, monkeypatch):
    monkeypatch.setattr(runtime, "PATIENCE_S", 0.01)
    streams = [stories.stream("Once", max_new_tokens=1000) for _ in range(stories.batch.slots)]
    for stream in streams:
        next(stream)
    waiting = stories.bursts("Once", max_new_tokens=5)
    assert next(waiting) == next(waiting) == []
    waiting.close()
    for stream in streams:
        stream.close()
    assert "".join(stories.stream("Once", max_new_tokens=5))


@pytest.mark.parametrize("fails", [False, True])
def test_what_comes_as_the_patience_ends_is_not_lost(stories, monkeypatch, fails):
    """Another thread may end a text between a reader's giving up and its look at the row."""
    read, batch = SharedBatch.read, stories.batch

    def late(self, row, until=0.0, deadline=None):
        if until or deadline is None:
            return read(self, row, until, deadline)
        read(self, row)  # another one leads
        row.ready.extend(row.ids)
        if fails:
            row.error, row.ready = ValueError("late"), deque()
        return []

    monkeypatch.setattr(SharedBatch, "read", late)
    work = stories.bursts("Once", max_new_tokens=1)
    if fails:
        with pytest.raises(ValueError, match="late"):
            list(work)
    else:
        assert "".join(sum(work, []))
    assert batch.active == 0


def test_deadline(stories):
    start = time.monotonic()
    text = "".join(stories.stream("Once", max_new_tokens=4096, deadline=0.3))
    assert text and time.monotonic() - start < 3


def test_max_new_tokens_beyond_the_context(stories):
    ids = []
    constraint = lambda new, text: ids.append(len(new)) or (5 if new else None)  # noqa: E731
    text = "".join(stories.stream("Once", max_new_tokens=150, constraint=constraint, seed=1))
    assert ids == list(range(150)) and text


def test_poems_end_with_the_context(poems):
    character = poems.vocabulary["山"]
    text = "".join(poems.stream(encode_prompt(), max_new_tokens=500, constraint=lambda ids, text: character))
    assert text == "山" * (poems.context - 1)  # the prompt takes two; the last token need not be in the cache


def test_long_prompts(stories, poems):
    long = " ".join(["The fox reads everything."] * 100)
    assert stories.generate([long], seed=3, max_new_tokens=5)[0]
    ids = stories.tokenizer.encode(long)
    kept = stories.tokenizer.decode(ids[-(stories.context // 2) :])
    assert stories.generate([long], seed=3) == stories.generate([kept], seed=3)
    with pytest.raises(InputError, match=r"prompt: \d+ tokens; the limit is 95"):
        poems.stream(encode_prompt(body="山" * 200))
    with pytest.raises(InputError, match="the limit is 1000000"):
        stories.stream("a" * 1_000_001)


@pytest.mark.parametrize(
    "field, value",
    [
        ("prompt", None),
        ("prompt", 3),
        ("prompt", "\ud800"),
        ("max_new_tokens", 0),
        ("max_new_tokens", 1_000_001),
        ("max_new_tokens", 2.5),
        ("temperature", -0.1),
        ("temperature", "hot"),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_k", True),
        ("top_p", 0),
        ("top_p", 1.01),
        ("seed", -1),
        ("seed", 2**64),
        ("seed", None),
        ("stop", ""),
        ("stop", [1]),
        ("deadline", 0),
    ],
)
def test_bad_arguments_are_named_at_the_call(stories, field, value):
    arguments = {"prompt": "Once", field: value}
    with pytest.raises(InputError, match=f"^{field}: ") as refused:
        stories.stream(arguments.pop("prompt"), **arguments)
    assert refused.value.field == field


def test_bad_lists(stories):
    with pytest.raises(InputError, match="prompts: "):
        stories.generate("Once")
    with pytest.raises(InputError, match="seeds: 2 for 1"):
        stories.generate(["Once"], seeds=[1, 2])
    assert stories.generate([]) == []
    for k in (0, 1001, "3"):
        with pytest.raises(InputError, match="k: "):
            stories.next_tokens("Once", k)


def test_numpy_numbers_are_numbers(stories):
    expected = stories.generate(["Once"], temperature=0.5, top_k=7, seed=3)
    assert stories.generate(["Once"], temperature=np.float32(0.5), top_k=np.int64(7), seed=np.uint32(3)) == expected


def test_stop(stories):
    whole = stories.generate(["Once"], seed=5, max_new_tokens=40)[0]
    stop = whole[10:13]
    pieces = list(stories.stream("Once", seed=5, max_new_tokens=40, stop=["never in it", stop]))
    assert "".join(pieces) == whole[: whole.index(stop)]
    held = list(stories.stream("Once", seed=5, max_new_tokens=40, stop=whole[-2:] + "and more"))
    assert "".join(held) == whole


def test_constraint(stories):
    seen = []
    target = stories.tokenizer.encode("the fox")

    def constraint(ids, text):
        seen.append(text)
        return target[len(ids)] if len(ids) < len(target) else stories.start_id

    assert stories.generate(["Once"], constraint=constraint) == ["the fox"]
    assert seen[0] == "" and seen[-1] == "the fox"


def test_a_failing_constraint_hurts_its_own_text_only(stories):
    def constraint(ids, text):
        if len(ids) == 3:
            raise RuntimeError("of the caller")

    other = stories.stream("Once", seed=1)
    begin = next(other)
    with pytest.raises(RuntimeError, match="of the caller"):
        stories.generate(["Once", "a"], constraint=constraint)
    assert begin + "".join(other) == stories.generate(["Once"], seed=1)[0]


def test_special_tokens_are_never_written(poems):
    ids = []
    constraint = lambda new, text: ids.extend(new[len(ids) :])  # noqa: E731
    for seed in range(5):
        "".join(poems.stream(encode_prompt("唐诗"), temperature=5, top_k=0, top_p=1, seed=seed, constraint=constraint))
        assert not set(ids) & set(poems.tokenizer.special)
        ids.clear()


def test_how_a_text_ended_and_how_long_it_is(stories):
    whole = "".join(stories.stream("Once", seed=4, max_new_tokens=9, ending=(long := Ending())))
    assert long == Ending(tokens=9, by_itself=False)
    stop = whole[:2]
    assert "".join(stories.stream("Once", seed=4, max_new_tokens=9, stop=stop, ending=(cut := Ending()))) == ""
    assert cut.by_itself and 0 < cut.tokens < 9


@pytest.mark.parametrize("wrong", [{"stop": 5}, {"stop": ["a", 3]}, {"prompts": 5}, {"prompts": None}])
def test_what_is_no_list_of_texts(stories, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        stories.generate(**{"prompts": ["Once"], **wrong})


def test_unknown_characters_are_reported(poems, stories):
    assert poems.skipped_in("床前fox") == ["f", "o", "x"]
    assert poems.generate([encode_prompt(body="床前fox")])[0]
    assert stories.skipped_in("任何") == []


@pytest.mark.parametrize("acrostic", ["春夏秋冬", "床前明月光山水", "春"])
def test_acrostic(poems, acrostic):
    if missing := [c for c in acrostic if c not in poems.vocabulary]:
        with pytest.raises(InputError, match="".join(missing)):
            Acrostic(acrostic, "七绝", poems.vocabulary)
        return
    form = form_for_acrostic(acrostic)
    prompt = encode_prompt(form=form)
    texts = poems.generate(
        [prompt] * 4, seeds=range(4), max_new_tokens=200, constraint=Acrostic(acrostic, form, poems.vocabulary)
    )
    for text in texts:
        lines = [text[i : i + 8] for i in range(0, len(text), 8)]
        assert "".join(line[0] for line in lines) == acrostic
        assert form_of(text) == form and text[-1] in "。？！"


def test_next_tokens(stories):
    rows = stories.next_tokens("Once upon", 12)
    probabilities = [p for _, p in rows]
    assert len(rows) == 12 and probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 1 + 1e-6
    everything = stories.next_tokens("Once upon", 1000)
    assert len(everything) == stories.config["vocab_size"] - 1  # all but the end, which this model never writes
    assert START not in [token for token, _ in everything] and 0 < sum(p for _, p in everything) <= 1 + 1e-6
    greedy = next(stories.stream("Once upon", temperature=0, max_new_tokens=1))
    assert rows[0][0] == greedy
    assert stories.batch.active == 0


def test_a_word_follows_a_blank_as_it_would_without(stories, tiny_poetry):
    assert all(stories.tokenizer.token_bytes[i].startswith(b" ") for i in stories.tokenizer.word_ids)
    alone, spaced = (dict(stories.next_tokens(prompt, 1000)) for prompt in ("Once upon", "Once upon "))
    words = {token: p for token, p in alone.items() if token.startswith(" ") and token != " "}
    total = sum(words.values())
    assert spaced == {token[1:]: pytest.approx(p / total) for token, p in words.items()} and spaced
    greedy = "".join(stories.stream("Once upon ", temperature=0, max_new_tokens=5))
    assert greedy.startswith(max(spaced, key=spaced.get))
    forced = lambda ids, text: None if ids else stories.vocabulary["Ġthe"]  # noqa: E731
    assert "".join(stories.stream("Once upon  ", constraint=forced, max_new_tokens=1)) == "the"
    assert "".join(stories.stream("Once upon\n ", temperature=0, max_new_tokens=5)) == "".join(
        stories.generate(["Once upon\n "], temperature=0, max_new_tokens=5)
    )
    assert not Tokenizer(tiny_poetry / "tokenizer.json").word_ids.size  # a blank is a token of its own


def test_curly_quotes_are_read_as_the_vocabulary_has_them(stories):
    straight, curly = '"I don\'t," he said', "“I don’t,” he said"
    assert stories.tokenizer.straighten(curly) == straight
    assert stories.next_tokens(curly, 5) == stories.next_tokens(straight, 5)
    assert stories.score(curly) != stories.score(straight)  # of the text as it is


def step_by_step(generator, text):
    """The sum of next-token log-probabilities, token after token, from next_tokens' logits."""
    ids, total = [generator.start_id, *generator.tokenizer.encode(text)], 0.0
    for i in range(1, len(ids)):
        logits = generator.batch.run_alone(lambda decoder, slot, n=i: decoder.prefill(slot, ids[:n]))[0]
        logits = logits.astype(np.float64)
        total += logits[ids[i]] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    return total


def test_score_is_the_sum_of_next_tokens(stories):
    text = "The fox said: 春 🦊!"
    total, tokens, size = stories.score(text)
    assert tokens == len(stories.tokenizer.encode(text)) and size == len(text.encode())
    assert total == pytest.approx(step_by_step(stories, text), abs=1e-3)
    assert stories.score(START + text) == (total, tokens, size)


def test_score_of_a_document_with_its_end(stories):
    total, tokens, size = stories.score("The fox" + START)
    part = stories.score("The fox")
    assert (tokens, size) == (part[1] + 1, part[2]) and total < part[0]


def test_score_beyond_the_context(stories):
    text = "The quick brown fox jumps over the lazy dog and says something else. " * 6
    total, tokens, size = stories.score(text)
    assert tokens == len(stories.tokenizer.encode(text)) > 2 * stories.context and size == len(text)
    per_token = -total / tokens
    assert 0 < per_token < 3 * np.log(stories.config["vocab_size"])
    ids = [stories.start_id, *stories.tokenizer.encode(text)]
    first = stories.tokenizer.decode(ids[1 : stories.context])
    assert total < stories.score(first)[0] < 0


@pytest.mark.parametrize("text", ["", START, None])
def test_score_refuses(stories, text):
    with pytest.raises(InputError, match="text: "):
        stories.score(text)


def test_greedy_equals_stock_transformers(tiny_exact):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.Qwen3ForCausalLM.from_pretrained(tiny_exact, dtype=torch.float32).eval()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tiny_exact / "tokenizer.json"))
    ours, new = TextGenerator.from_pretrained(tiny_exact, providers="cpu"), []

    def record(ids, text):
        new[:] = ids

    for prompt in ("Once upon", "The quick brown fox", "春眠"):
        ids = [0, *tokenizer(prompt)["input_ids"]]
        text = ours.generate([prompt], temperature=0, max_new_tokens=30, constraint=record)[0]
        output = model.generate(torch.tensor([ids]), max_new_tokens=30, do_sample=False, pad_token_id=0, eos_token_id=0)
        expected = list(itertools.takewhile(lambda id_: id_ != 0, output[0, len(ids) :].tolist()))
        assert new == expected[:29] and len(set(new)) > 2  # the constraint is not asked after the last one
        assert text == tokenizer.decode(expected)
        with torch.inference_mode():
            logits = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)[:-1]
        score = logits.gather(1, torch.tensor(ids[1:])[:, None]).sum().item()
        assert ours.score(prompt)[0] == pytest.approx(score, abs=1e-3)
