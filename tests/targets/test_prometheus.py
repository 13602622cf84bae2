"""Figures of a real Prometheus, now and over a time, and what becomes of faults."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.answers import WIDEST, laid_out
from bot.config import load
from bot.redact import Redactor
from bot.targets.prometheus_figures import Series, figure, instant, series, table, trend
from commands.actions import Target, TargetError
from incidents.ports import RefusedError
from tests.servers import admin_http
from tests.servers.cable import Cable, Fault
from tests.servers.prometheus_server import shared
from tests.targets.web_targets import targets


@pytest.fixture
def url() -> str:
    """A server that scrapes itself."""
    return shared().url


@pytest.fixture
async def target(url: str, tmp_path: Path) -> AsyncIterator[Target]:
    """The target of that server."""
    async with targets(tmp_path, metrics={"driver": "prometheus", "url": url}) as made:
        yield made["prometheus"]


async def test_values_now(target: Target) -> None:
    """One value in the headline, several as a table, none as a sentence."""
    one = await target.read("query", expression="sum(up)", over=None, name="instances")
    assert one.headline == "instances · 1 now"
    assert (
        await target.read("query", expression="2 * 21", over=None, name=None)
    ).headline == "2 * 21 · 42 now"
    several = await target.read("query", expression="prometheus_tsdb_wal_fsync_duration_seconds", over=None)
    assert "series now" in several.headline
    assert several.table is not None
    assert {row[0] for row in several.table.rows} >= {"0.5", "0.99"}
    none = await target.read("query", expression="nothing_of_the_kind", over=None)
    assert none.headline == "nothing_of_the_kind · no series"


async def test_a_range_is_a_table_and_a_chart(target: Target) -> None:
    """It fits a phone; the picture is a PNG of 800 by 400."""
    answer = await target.read("query", expression="vector(1) * time()", over=600, name=None)
    assert answer.headline.endswith("the last 10 min")
    assert answer.table is not None
    assert answer.table.columns == ("SERIES", "LEAST", "MEAN", "MOST", "LAST", "TREND")
    data, upload = laid_out(answer)
    assert all(len(line) <= WIDEST for line in data["block"].splitlines())
    assert upload is not None
    assert (upload.name, upload.mime) == ("chart.png", "image/png")
    assert upload.data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", upload.data[16:24]) == (800, 400)


async def test_what_is_no_promql_is_refused_with_prometheus_own_words(target: Target) -> None:
    """The documents' `topk(5, … by (provider_type))` among them, which does not parse."""
    broken = "topk(5, histogram_quantile(0.95, rate(x_bucket[5m])) by (provider_type))"
    for expression in (broken, "up{", "sum(", "rate(up)"):
        with pytest.raises(RefusedError, match="does not understand that: "):
            await target.read("query", expression=expression, over=None)
    with pytest.raises(RefusedError, match="at most 4000"):
        await target.read("query", expression="u" * 5000, over=None)


async def test_every_named_query_of_the_example_is_understood(target: Target) -> None:
    """Corrected, where the documents' own do not parse."""
    queries = load(None, {}).catalogue.queries
    assert len(queries) > 10
    for name, expression in queries.items():
        assert name in (await target.read("query", expression=expression, over=None, name=name)).headline
        assert name in (await target.read("query", expression=expression, over=3600, name=name)).headline


async def test_nothing_of_it_is_changed(target: Target) -> None:
    """There is no plan, and nothing else to ask."""
    with pytest.raises(RefusedError, match="only looked at"):
        await target.plan("query", expression="up")
    with pytest.raises(RefusedError, match="knows no"):
        await target.read("delete")


@pytest.mark.parametrize("how", ["silent", "half", "cut", "huge", "garbage", "refuse"])
async def test_safety_33_faults_are_one_sentence(url: str, tmp_path: Path, how: Fault) -> None:
    """Soon, and the next question is answered as ever."""
    async with Cable(int(url.rpartition(":")[2])) as cable:
        section = {"driver": "prometheus", "url": f"http://127.0.0.1:{cable.port}"}
        async with targets(tmp_path, patience=0.5, metrics=section) as made:
            if how == "refuse":
                await cable.refuse()
            else:
                cable.fault(how, b"POST")
            with pytest.raises(TargetError, match=r"^Prometheus .*\.$"):
                await made["prometheus"].read("query", expression="up", over=None)
            if how == "refuse":
                await cable.start()
            assert (await made["prometheus"].read("query", expression="sum(up)", over=None)).headline


async def test_safety_20_a_token_is_sent_and_never_shown(tmp_path: Path) -> None:
    """Wrong credentials are a sentence without them."""
    section = {"driver": "prometheus", "url": admin_http.shared().url, "token": "planted-token-77"}
    async with targets(tmp_path, metrics=section) as made:
        with pytest.raises(TargetError, match="does not let me in") as raised:
            await made["prometheus"].read("query", expression="up", over=None)
        assert "planted" not in str(raised.value)


# -- what answers look like -----------------------------------------------------------------------


async def test_figures_are_read_by_people() -> None:
    """Numbers that are none have their names."""
    assert [figure(v) for v in (12345.6, 0.01234, 3.0, float("nan"), float("inf"), float("-inf"))] == [
        "12,346",
        "0.0123",
        "3",
        "NaN",
        "+Inf",
        "-Inf",
    ]
    assert trend([1, 2, 3, 4]) == "▁▃▅█"
    assert trend([1, 1]) == "▁▁"
    assert figure(1e300) == "1e+300"


async def test_series_are_told_apart_by_what_differs() -> None:
    """Labels that all have in common are left out; values that are all NaN have no mean."""
    found = [
        Series({"job": "x", "status": "ok"}, ((0.0, 1.0), (60.0, 3.0))),
        Series({"job": "x", "status": "error"}, ((0.0, float("nan")),)),
    ]
    rows = table("requests", found, 3600).table
    assert rows is not None
    assert rows.rows[0] == ("ok", "1", "2", "3", "3", "▁█")
    assert rows.rows[1] == ("error", "–", "–", "–", "NaN", "")
    assert "job=x status=ok" in instant("requests", "vector", found[:1]).lines


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"resultType": "string", "result": [0, "x"]},
        {"resultType": "vector", "result": [{"metric": {}, "value": [1, "many"]}]},
        {"resultType": "vector", "result": [{"value": [1, "2"]}]},
        {"resultType": "vector", "result": [7]},
        {"resultType": "matrix", "result": {"metric": {}}},
        {"resultType": "scalar", "result": None},
    ],
)
async def test_nonsense_is_a_sentence(data: dict[str, object]) -> None:
    """Whatever a server sends."""
    with pytest.raises(TargetError, match=r"Prometheus .*\."):
        series(data, str)


async def test_histograms_without_a_plain_value_are_left_out() -> None:
    """Native ones have none."""
    data = {"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}
    assert series(data, str) == ("vector", [])


def test_safety_20_a_label_is_redacted_before_it_is_cut() -> None:
    """Half of an address does not look like one."""
    value = "x" * 175 + " redis://app:Tr0ub4dor-and-3-more-words@cache:6379"
    metrics: list[dict[str, str]] = [{"dsn": value}, {value: "as a name"}]
    for metric in metrics:
        data = {"resultType": "vector", "result": [{"metric": metric, "value": [1, "2"]}]}
        found = instant("t", *series(data, Redactor().redact))
        assert "redis://‹redacted›" in found.lines[0]
        assert "Tr0ub" not in str(found)
