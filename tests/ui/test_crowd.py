"""Crowds on the real page: the texts of one alone, fair shares, nothing left of those who vanish, nonsense answered."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest
from loops import run_apart

from bigmodel.ui import benchmark_serving, fuzz, soak, vanish
from bigmodel.ui.visitors import Visit, endpoints, lines, visit


@pytest.fixture(scope="module")
def server(serve):
    """(address, process) of a page that shows its figures, counts no visitor's requests, and keeps 40 visits."""
    return serve(**vanish.environment())


def asked(seed, count=60):
    return ["Once upon", "tiny-stories", count, *[None] * 3, seed, None, None, "", "", ""]


def test_each_text_in_a_crowd_is_the_one_alone_and_rates_are_fair(server):
    async def work():
        async with httpx.AsyncClient(base_url=server[0], timeout=120) as client:
            number = (await endpoints(client))["generate_text"]
            alone = [(await visit(client, number, asked(seed, 400))).value for seed in range(3)]
            crowd = await asyncio.gather(*(visit(client, number, asked(i % 3, 400)) for i in range(16)))
            return alone, crowd

    alone, crowd = run_apart(work())
    assert all(one.done for one in crowd) and len(set(alone)) == 3
    assert [one.value for one in crowd] == [alone[i % 3] for i in range(16)]
    assert benchmark_serving.figures(crowd, [400] * 16)["share"] > 0.5


def test_nothing_is_left_of_those_who_vanish(server):
    arguments = SimpleNamespace(visitors=vanish.AT_ONCE * 24, requests=vanish.AT_ONCE * 36, seed=0)
    seconds, sizes = run_apart(vanish.vanish(*server, arguments))
    assert seconds.keys() == vanish.KINDS.keys()
    # the second of the promise, and some for a busy machine
    assert all(max(times) < 5 + vanish.LISTEN_S * (kind == "join") for kind, times in seconds.items()), dict(seconds)
    first, last = sizes[5], sizes[-1]  # each kind has been once
    assert all(last[what] <= size + 8 for what, size in first.items() if what != "MB"), (first, last)
    assert last["texts"] == last["calls"] == last["pending"] == last["iterators"] == 0
    assert last["MB"] < first["MB"] + 50, [size["MB"] for size in sizes]  # pools grow for a while


def test_nonsense(server):
    statuses, faults, _ = run_apart(fuzz.fuzz(*server, 400, seed=1))
    assert faults == [] and statuses.total() == 400 and 422 in statuses
    assert httpx.get(f"{server[0]}health").status_code == 200


def test_a_mixed_crowd(server):
    arguments = SimpleNamespace(minutes=0.1, visitors=6, seed=0)
    outcomes, counts = run_apart(soak.soak(*server, arguments))
    assert not [outcome for outcome in outcomes if "failed" in outcome], outcomes
    assert sum(count for outcome, count in outcomes.items() if "served" in outcome) > 5 and counts


def test_a_line_ends_where_a_line_feed_is():
    async def read():
        content = "data: a\u2028b\x85c\n\ndata: d\r\nrest".encode()
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
        async with httpx.AsyncClient(transport=transport) as client, client.stream("GET", "http://a/") as stream:
            return [line async for line in lines(stream)]

    assert run_apart(read()) == ["data: a\u2028b\x85c", "", "data: d"]


def test_figures():
    visits = [
        Visit(200, "x", pieces=[(0.5, 10), (1.0, 30)], seconds=2.0),
        Visit(503, error="full"),
        Visit(0, error="x"),
    ]
    found = benchmark_serving.figures(visits, [40, 0, 0])
    assert found["total"] == 20 and found["first"] == [0.5] and found["share"] == 1
    assert (found["refused"], found["failed"]) == (1, 1)
    assert len(found["between"]) == 30 and found["between"][0] == pytest.approx(0.5 / 30)
    assert benchmark_serving.percentiles(range(100)) == "50.00/95.00/99.00"


def test_targets(capsys):
    good = {"total": 3000.0, "first": [0.5] * 16, "share": 0.9}
    found = {("ours", 1): {"total": 900.0}, ("ours", 16): good, ("plain", 16): {"total": 100.0}}
    assert benchmark_serving.judge(found) == 0
    assert benchmark_serving.judge({**found, ("ours", 1): {"total": 1100.0}}) == 1
    assert capsys.readouterr().out.count("MISSED") == 1
