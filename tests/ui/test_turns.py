"""Turns: a short request does not wait for the end of long ones, however many, and each result is the one alone."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from loops import run_apart

from bigmodel.ui import turns
from bigmodel.ui.turns import Turns
from bigmodel.ui.visitors import endpoints, visit


def work(pieces, seconds, log=None, name=None):
    """Yield numbers, each after some work; ``log`` gets the name of each."""
    for number in range(pieces):
        time.sleep(seconds)
        if log is not None:
            log.append(name)
        yield number


def numbers(stream):
    return [number for _, number in stream]


def test_pieces_are_those_of_the_stream_and_seconds_those_of_its_work(monkeypatch):
    monkeypatch.setattr(turns, "FREE_S", 0)
    shared = Turns(1)
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: list(shared.share(work(5, 0.02))), range(4)))
    assert all(numbers(found) == list(range(5)) for found in results)
    assert all(0.1 <= found[-1][0] < 0.3 for found in results)  # and 0.4 with the others' work


def test_long_ones_take_turns_at_so_many_places(monkeypatch):
    monkeypatch.setattr(turns, "FREE_S", 0)
    shared, log, lock, at_once = Turns(2), [], threading.Lock(), []
    running = 0

    def counted(name):
        nonlocal running
        for number in range(20):
            with lock:
                running += number > 0  # the first piece is free
                at_once.append(running)
            time.sleep(0.01)
            with lock:
                running -= number > 0
                log.append(name)
            yield number

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: list(shared.share(counted(name))), "abcd"))
    assert max(at_once) == 2
    assert all(set(log[i : i + 12]) == set("abcd") for i in range(8, 56))  # nobody is passed over


def test_a_new_one_works_at_once(monkeypatch):
    monkeypatch.setattr(turns, "FREE_S", 0.5)
    shared, stop = Turns(1), threading.Event()

    def endless():
        time.sleep(turns.FREE_S + 0.1)
        yield 0
        stop.wait(60)
        yield 1

    with ThreadPoolExecutor() as pool:
        long = [pool.submit(list, shared.share(endless())) for _ in range(2)]
        time.sleep(turns.FREE_S + 0.5)
        assert numbers(shared.share(work(3, 0))) == [0, 1, 2] and not any(one.done() for one in long)
        stop.set()
        assert all(numbers(one.result()) == [0, 1] for one in long)


@pytest.mark.parametrize("how", ["closed", "failed"])
def test_a_place_is_free_again(how, monkeypatch):
    monkeypatch.setattr(turns, "FREE_S", -1)
    shared, left = Turns(1), []

    def stream():
        try:
            yield 0
            raise KeyError
        finally:
            left.append(True)

    shared_stream = shared.share(stream())
    next(shared_stream)
    if how == "closed":
        shared_stream.close()
    else:
        with pytest.raises(KeyError):
            next(shared_stream)
    assert left and numbers(shared.share(work(2, 0))) == [0, 1]


def test_a_picture_beside_long_drawings(page, monkeypatch):
    from bigmodel.text_to_image.runtime import ImageGenerator

    monkeypatch.setattr(ImageGenerator, "pause", 0.2)
    monkeypatch.setattr(turns, "FREE_S", 1)

    async def one(number, count, steps):
        headers = {"x-forwarded-for": f"198.51.100.{count}{steps}"}
        async with httpx.AsyncClient(base_url=page.local_url, timeout=120, headers=headers) as client:
            return await visit(client, number, ["a cat face", None, count, steps, None, 3, None, None, None])

    async def crowd():
        async with httpx.AsyncClient(base_url=page.local_url) as client:
            number = (await endpoints(client))["generate_image"]
        long = [asyncio.create_task(one(number, count, 60)) for count in (5, 6, 7, 8)]  # twelve seconds each
        await asyncio.sleep(turns.FREE_S + 1)
        short = await one(number, 1, 2)
        waiting = [not task.done() for task in long]
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)
        return short, waiting

    short, waiting = run_apart(crowd())
    assert short.done and all(waiting)
