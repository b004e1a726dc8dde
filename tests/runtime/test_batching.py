"""Continuous batching: who comes joins at the next step, waits for nobody's long text, and changes nobody's tokens."""

import threading
import time

import numpy as np
import pytest

from bigmodel.runtime import batching
from bigmodel.runtime.batching import Row, SharedBatch
from bigmodel.runtime.sampling import Sampler


class CountingDecoder:
    """A decoder whose next token depends on its slot's text alone; it notes what it was asked."""

    max_length, vocab_size, candidates, logits = 100, 50, None, None

    def __init__(self, slots=5, seconds=0.0):
        self.slots, self.seconds, self.log = slots, seconds, []
        self.lengths, self.sums = np.zeros(slots, np.int32), np.zeros(slots, np.int64)

    def _logits(self, slots):
        logits = np.zeros((len(slots), self.vocab_size), np.float32)
        logits[np.arange(len(slots)), (7 * self.sums[slots] + self.lengths[slots]) % 49 + 1] = 9
        self.logits = logits
        return logits

    def prefill(self, slot, ids, logits_to_keep=1, *, logits=True):
        self.log.append(("prefill", slot, len(ids)))
        self.lengths[slot], self.sums[slot] = len(ids), sum(ids)
        return self._logits([slot])

    def step(self, slots, tokens, *, logits=True):
        time.sleep(self.seconds)
        self.log.append(("step", tuple(slots)))
        for slot, token in zip(slots, tokens, strict=True):
            self.lengths[slot] += 1
            self.sums[slot] += token
        return self._logits(slots)


def row(prompt, count=20, **options):
    return Row(prompt, Sampler(temperature=0), count, **options)


def read_all(batch, one):
    batch.join(one)
    ids = []
    while new := batch.read(one):
        ids += new
    return ids


def test_who_comes_has_a_token_within_two_steps():
    decoder = CountingDecoder(slots=9)
    batch = SharedBatch(decoder, [0])
    old = [row([1, i], 60) for i in range(4)]
    for one in old:
        batch.join(one)
    for _ in range(5):
        batch.read(old[0])
    late = [row([2, i], 60) for i in range(4)]
    for one in late:
        batch.join(one)
    before = sum(entry[0] == "step" for entry in decoder.log)
    batch.read(old[0])
    batch.read(old[0])
    assert sum(entry[0] == "step" for entry in decoder.log) == before + 2
    assert all(one.ready for one in late)
    assert decoder.log[-1] == ("step", tuple(range(8)))


def test_long_prompts_come_one_by_one_between_steps():
    decoder = CountingDecoder(slots=9)
    batch = SharedBatch(decoder, [0])
    writing = row([1], 60)
    batch.join(writing)
    batch.read(writing)
    for i in range(4):
        batch.join(row([i] * 90, 3))
    for _ in range(4):
        batch.read(writing)
    kinds = [entry[0] for entry in decoder.log]
    assert kinds == ["prefill"] + ["prefill", "step"] * 4


def test_a_slot_is_used_again_as_soon_as_its_text_ends_or_is_left():
    decoder = CountingDecoder(slots=3)
    batch = SharedBatch(decoder, [0])
    first, second, third, fourth = rows = [row([i + 1], 30) for i in range(4)]
    first.remaining = 3
    for one in rows:
        batch.join(one)
    while batch.read(first):
        pass
    batch.read(third)
    assert third.slot == first.slot and fourth.slot is None  # in the order of their coming
    batch.leave(second)
    batch.read(fourth)
    assert fourth.slot == second.slot and batch.active == 2


def test_tokens_are_the_same_alone_and_in_a_crowd():
    alone = [read_all(SharedBatch(CountingDecoder(), [0]), row([i, 3], 40)) for i in range(12)]
    batch, got = SharedBatch(CountingDecoder(seconds=0.001), [0]), {}

    def work(i):
        time.sleep(i * 0.003)
        got[i] = read_all(batch, row([i, 3], 40))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]  # for four slots
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [got[i] for i in range(12)] == alone and batch.active == 0


def test_nobody_gets_less_than_half_of_the_mean():
    batch, speed = SharedBatch(CountingDecoder(slots=17, seconds=0.002), [0]), {}

    def work(i):
        one, started, until = row([i] * (60 if i % 4 == 0 else 2), 40), time.monotonic(), 0.0
        batch.join(one)
        while batch.read(one, until):
            until = time.monotonic() + 0.05
        speed[i] = 40 / (time.monotonic() - started)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(speed) == 16 and min(speed.values()) > 0.5 * np.mean(list(speed.values()))


def test_a_reader_that_wants_tokens_later_lets_another_lead():
    batch = SharedBatch(CountingDecoder(seconds=0.002), [0])
    patient, eager = row([1], 64), row([2], 64)
    batch.join(patient)
    batch.join(eager)
    batch.read(eager)
    started, found = time.monotonic(), []
    waiting = threading.Thread(target=lambda: found.extend(batch.read(patient, time.monotonic() + 0.1)))
    waiting.start()
    while batch.read(eager) and time.monotonic() < started + 0.2:
        pass
    waiting.join(5)
    assert len(found) > 5


def test_one_who_reads_slowly_stands_still_and_goes_on():
    batch = SharedBatch(CountingDecoder(), [0])
    slow, quick = row([1], 80, ahead=4), row([2], 80)
    batch.join(slow)
    batch.join(quick)
    assert len([token for _ in range(30) for token in batch.read(quick)]) == 30
    assert len(slow.ready) == 4
    rest = batch.read(slow)
    while new := batch.read(slow):
        rest += new
    assert rest == read_all(SharedBatch(CountingDecoder(), [0]), row([1], 80))


def test_one_who_waits_for_many_tokens_gets_them():
    batch = SharedBatch(CountingDecoder(), [0])
    one = row([1], 80, ahead=4)
    batch.join(one)
    assert len(batch.read(one, time.monotonic() + 0.2)) == 80


def test_work_beside_the_texts_finds_its_slot_while_all_are_taken():
    decoder = CountingDecoder(slots=3)
    batch = SharedBatch(decoder, [0])
    for i in range(4):
        batch.join(row([i], 90))
    assert batch.run_alone(lambda decoder, slot: decoder.prefill(slot, [5] * 7).shape) == (1, 50)
    assert ("prefill", 2, 7) in decoder.log
    with pytest.raises(ZeroDivisionError):
        batch.run_alone(lambda decoder, slot: 1 / 0)


def test_after_long_work_those_who_write_have_as_much_time(monkeypatch):
    monkeypatch.setattr(batching, "_LONG_S", 0.05)
    decoder = CountingDecoder(seconds=0.005)
    batch = SharedBatch(decoder, [0])
    one = row([1], 10_000, keep=50)
    batch.join(one)
    assert batch.read(one)
    ends = time.monotonic() + 2

    def ask():
        while time.monotonic() < ends:
            batch.run_alone(lambda decoder, slot: time.sleep(0.2))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    count = 0
    while time.monotonic() < ends:
        count += len(batch.read(one))
    batch.leave(one)
    for asker in askers:
        asker.join(60)
    assert count > 40  # one between two pieces of work would be ten


def test_of_texts_that_are_full_one_is_read_again_in_a_step():
    decoder = CountingDecoder(slots=4)
    batch = SharedBatch(decoder, [0])
    texts = [row([i], 200, keep=50) for i in range(3)]
    expected = [read_all(SharedBatch(CountingDecoder(), [0]), row([i], 200, keep=50)) for i in range(3)]
    for one in texts:
        batch.join(one)
    found = [[] for _ in texts]
    while not all(one.ended for one in texts):
        for ids, one in zip(found, texts, strict=True):
            ids += batch.read(one)
    found = [ids + list(one.ready) for ids, one in zip(found, texts, strict=True)]
    assert found == expected
    again = [entry == ("prefill", entry[1], 51) for entry in decoder.log]
    assert sum(again) >= 6 and not any(map(all, zip(again, again[1:], again[2:], strict=False)))


def test_a_fault_of_the_decoder_is_told_to_those_whose_tokens_it_cost():
    decoder = CountingDecoder()
    batch = SharedBatch(decoder, [0])
    one, other = row([1], 9), row([2], 9)
    batch.join(one)
    batch.join(other)
    assert batch.read(one) and batch.read(other)
    decoder.step = lambda slots, tokens, **_: 1 / 0
    for each in (one, other):
        with pytest.raises(ZeroDivisionError):
            batch.read(each)
    del decoder.step
    assert len(read_all(batch, row([3], 9))) == 9


def test_waiting_for_a_slot_ends_at_the_deadline():
    batch = SharedBatch(CountingDecoder(slots=2), [0])
    batch.join(row([1], 50, ahead=2))
    late, started = row([2], 50), time.monotonic()
    batch.join(late)
    assert batch.read(late, deadline=started + 0.1) == [] and time.monotonic() - started < 1
    assert batching._POLL_S < 0.1
