"""A visitor's share, the end of what nobody listens to, and work beside the queue that is counted as in it."""

import asyncio
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from gradio.routes import file_upload_statuses
from loops import run_apart
from playwright.sync_api import expect

from bigmodel.limits import LIMITS, Limits
from bigmodel.ui import queueing
from bigmodel.ui.guard import visitor_of

ENDLESS = {"prompt": "Once", "model": "tiny-stories", "max_new_tokens": 1000}


@contextmanager
def visitor(page, number):
    """A client whose address is its own, as a proxy tells it."""
    headers = {"x-forwarded-for": f"198.51.100.{number}"}
    with httpx.Client(base_url=page.local_url, timeout=60, headers=headers) as client:
        yield client


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def counted(page, outcome):
    return page.operation.registry.get_sample_value("bigmodel_calls_total", {"name": "completions", "outcome": outcome})


@pytest.fixture
def hurry(page, monkeypatch):
    """Function that makes the page end what nobody has listened to for a second."""
    return lambda: monkeypatch.setattr(page.operation.keeper, "limits", Limits(listen_seconds=1))


def wait_until_nothing_is_kept(page, seconds=30):
    def kept():
        found = page.operation.kept()
        return {what: found[what] for what in ("calls", "pending", "messages", "iterators", "texts") if found[what]}

    deadline = time.monotonic() + seconds
    while kept() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert kept() == {}, [vars(event) for event in page._queue.event_ids_to_events.values()]


def test_one_visitor_cannot_take_every_place_and_who_never_listens_loses_theirs(page, hurry, monkeypatch):
    monkeypatch.setattr(page, "pace", 0.1)

    def join(client):
        return client.post("gradio_api/call/v2/generate_text", json=ENDLESS)

    with visitor(page, 1) as greedy, visitor(page, 2) as other:
        calls = [join(greedy) for _ in range(LIMITS.calls_per_visitor + 1)]
        assert [call.status_code for call in calls] == [200] * LIMITS.calls_per_visitor + [429]
        assert calls[-1].headers["retry-after"] == "5" and "wait until one has ended" in calls[-1].text
        assert greedy.post("gradio_api/call/v2/next_tokens", json={"prompt": "a"}).status_code == 200  # of another kind
        assert join(other).status_code == 200
        hurry()
        wait_until(lambda: not page.operation.running())
        wait_until_nothing_is_kept(page)
        assert join(greedy).status_code == 200


def test_two_visitors_cannot_take_every_place(page, hurry, monkeypatch):
    from bigmodel.text_to_image.runtime import ImageGenerator

    monkeypatch.setattr(ImageGenerator, "pause", 0.2)

    def begun():
        calls = [job[0] for job in page._queue.active_jobs if job]
        return Counter(visitor_of(c.request.scope)[-1] for c in calls if c.concurrency_id == "text_to_image")

    def join(client, steps):
        call = client.post("gradio_api/call/v2/generate_image", json={"prompt": "a cat", "steps": steps})
        return call.json()["event_id"]

    with visitor(page, 6) as first, visitor(page, 7) as second, visitor(page, 8) as third:
        for client in (first, second):
            for _ in range(LIMITS.calls_per_visitor):
                join(client, 100)
        wait_until(lambda: begun() == {"6": 4, "7": 2})  # of eight places
        event = join(third, 2)
        with third.stream("GET", f"gradio_api/call/generate_image/{event}") as stream:
            assert "event: complete" in list(stream.iter_lines())
        assert begun() == {"6": 4, "7": 2}
        hurry()
        wait_until_nothing_is_kept(page)


def test_who_listens_keeps_a_call_and_nothing_is_kept_of_who_leaves(page, hurry):
    with visitor(page, 3) as client:
        body = {**ENDLESS, "max_new_tokens": 300}  # three seconds, longer than nobody may listen
        event = client.post("gradio_api/call/v2/generate_text", json=body).json()["event_id"]
        with client.stream("GET", f"gradio_api/call/generate_text/{event}") as stream:
            lines = stream.iter_lines()
            next(lines)
            hurry()
            assert "event: complete" in list(lines)
        event = client.post("gradio_api/call/v2/generate_text", json=ENDLESS).json()["event_id"]
        with client.stream("GET", f"gradio_api/call/generate_text/{event}") as stream:
            next(stream.iter_lines(), None)
        wait_until_nothing_is_kept(page)


def test_who_waits_for_a_turn_can_stop(page, open_page, hurry, monkeypatch):
    monkeypatch.setattr(page, "pace", 0.1)
    with ExitStack() as stack:
        for number in range(LIMITS.texts_at_once):
            client = stack.enter_context(visitor(page, 20 + number))
            assert client.post("gradio_api/call/v2/generate_text", json=ENDLESS).status_code == 200
        tab = open_page("?prompt=Once")
        stop = tab.get_by_role("button", name="Stop")
        expect(stop).to_be_disabled()
        tab.locator("#write").click()
        wait_until(lambda: len(page._queue) == 1)
        stop.click()
        expect(stop).to_be_disabled()
        wait_until(lambda: len(page._queue) == 0)
        assert tab.locator(".passage .token").count() == 0
        expect(tab.get_by_role("button", name="Again")).to_be_disabled()
        tab.close()  # it is not to be hurried
        hurry()
        wait_until_nothing_is_kept(page)


def test_who_stops_twice_loses_no_place(page, hurry):
    (number,) = [number for number, function in page.fns.items() if function.api_name == "generate_text"]
    with visitor(page, 9) as client, ThreadPoolExecutor() as pool:
        for _ in range(LIMITS.calls_per_visitor):
            event = client.post("gradio_api/call/v2/generate_text", json=ENDLESS).json()["event_id"]
            with client.stream("GET", f"gradio_api/call/generate_text/{event}") as stream:
                next(stream.iter_lines())
                body = {"session_hash": event, "fn_index": number, "event_id": event}
                list(pool.map(lambda _: client.post("gradio_api/cancel", json=body), range(3)))  # noqa: B023
        hurry()
        wait_until_nothing_is_kept(page)


def test_a_call_that_is_cancelled_as_it_begins_gives_its_place_back(page, hurry, monkeypatch):
    class Cancelled(set):
        def add(self, task):
            task.cancel()
            super().add(task)

    kind = page._queue.event_queue_per_concurrency_id["text_generation"]
    monkeypatch.setattr(page._queue, "_asyncio_tasks", Cancelled())
    with visitor(page, 10) as client:
        assert client.post("gradio_api/call/v2/generate_text", json=ENDLESS).status_code == 200
    hurry()
    wait_until_nothing_is_kept(page)
    wait_until(lambda: kind.current_concurrency == 0 and page.operation.running() == 0)


def test_completions_are_counted_as_calls_and_share_a_visitors_places(page):
    body, before = {"model": "tiny-stories", "prompt": "Once", "max_tokens": 900, "stream": True}, counted(page, "left")

    async def work():
        headers = {"x-forwarded-for": "198.51.100.4"}
        async with httpx.AsyncClient(base_url=page.local_url, timeout=60, headers=headers) as client:

            async def complete():
                async with client.stream("POST", "v1/completions", json=body) as stream:
                    async for _ in stream.aiter_lines():
                        begun.append(stream.status_code)
                        await asyncio.sleep(60)

            begun = []
            tasks = [asyncio.create_task(complete()) for _ in range(LIMITS.calls_per_visitor)]
            while len(begun) < len(tasks):
                await asyncio.sleep(0.02)
            running = page.operation.running()  # what a stop waits for
            refused = await client.post("v1/completions", json=body)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return running, refused

    running, refused = run_apart(work())
    assert running >= LIMITS.calls_per_visitor
    assert refused.status_code == 429 and refused.headers["retry-after"] == "5"
    wait_until(lambda: counted(page, "left") == (before or 0) + LIMITS.calls_per_visitor)
    assert page.operation.keeper.beside == 0


def test_a_fault_of_a_completion_is_ours(page, monkeypatch, caplog):
    from bigmodel.text_generation.runtime import TextGenerator

    monkeypatch.setattr(TextGenerator, "bursts", lambda *_, **__: {}["secret words"])
    answer = httpx.post(f"{page.local_url}v1/completions", json={"model": "tiny-stories", "prompt": "a"})
    assert answer.status_code == 500 and "our fault" in answer.json()["detail"]
    (record,) = [r for r in caplog.records if r.getMessage() == "call" and r.fields["outcome"] == "failed"]
    assert record.fields["request_id"] == answer.headers["x-request-id"] and record.fields["error"] == "KeyError"
    assert "secret" not in answer.text


def test_nonsense_is_the_visitors_fault(page):
    unknown = httpx.post(f"{page.local_url}gradio_api/call/v2/generate_text", json={"unknown": 1})
    assert unknown.status_code == 400
    assert httpx.get(f"{page.local_url}assets/{'a' * 5000}").status_code == 400
    for body in ({"prompt": "a", "seed": 10**400}, {"prompt": "a", "form": [1]}, {"prompt": "a\ud800"}):
        refused = httpx.post(f"{page.local_url}gradio_api/call/v2/generate_text", content=json.dumps(body))
        assert refused.status_code == 422 and list(body)[-1] in refused.text
    told = httpx.get(f"{page.local_url}gradio_api/queue/data?session_hash=nobody")
    assert told.status_code == 200 and "session_not_found" in told.text  # and the answer has an end


def test_notes_of_uploads_that_never_come_are_bounded(page, monkeypatch):
    monkeypatch.setattr(queueing, "UPLOADS_WATCHED", 3)
    for number in range(20):
        file_upload_statuses._signals[f"nonsense {number}"]
    wait_until(lambda: len(file_upload_statuses._signals) <= 3)
