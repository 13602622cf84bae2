"""Label selectors mean here what they mean to the API server, and decide whose pod a pod is.

The cases of the grammar are those of its own documentation and tests (k8s.io/apimachinery/pkg/labels, selector.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.clock import VirtualClock
from bot.targets.build import targets_of
from bot.targets.config import check
from bot.targets.kubernetes_selectors import requirements, selects
from bot.targets.sandbox_world import World
from incidents.ports import RefusedError
from tests.contracts.kubernetes_rig import SPACE, furnish, on_kubernetes
from tests.contracts.target_rigs import START
from tests.servers.kubernetes import selectors
from tests.servers.kubernetes_server import KubernetesServer, shared

DNS = "this-is-another-dns.domain.com/key-with-dash"
READ: dict[str, list[tuple[str, str, list[str]]]] = {
    "": [],
    " ": [],
    "\rx": [("x", "Exists", [])],
    "x": [("x", "Exists", [])],
    "!x": [("x", "DoesNotExist", [])],
    "! x ,y": [("x", "DoesNotExist", []), ("y", "Exists", [])],
    "x=a,y=b,z=c": [("x", "In", ["a"]), ("y", "In", ["b"]), ("z", "In", ["c"])],
    "x == a": [("x", "In", ["a"])],
    "x!=a,y=b": [("x", "NotIn", ["a"]), ("y", "In", ["b"])],
    "x= ,z= ": [("x", "In", [""]), ("z", "In", [""])],
    "x>1,z<5": [("x", "Gt", ["1"]), ("z", "Lt", ["5"])],
    f"{DNS} in (so,what)": [(DNS, "In", ["so", "what"])],
    "0.1.2.domain/99 notin (10.10.100.1, tick.tack.clock)": [
        ("0.1.2.domain/99", "NotIn", ["10.10.100.1", "tick.tack.clock"])
    ],
    "foo  in\t(abc)": [("foo", "In", ["abc"])],
    "x notin\n (abc)": [("x", "NotIn", ["abc"])],
    "x in(a)": [("x", "In", ["a"])],
    "x in (foo,,baz),y,z notin ()": [
        ("x", "In", ["foo", "", "baz"]),
        ("y", "Exists", []),
        ("z", "NotIn", [""]),
    ],
    "x in (abc,)": [("x", "In", ["abc", ""])],
    "in in (notin),notin": [("in", "In", ["notin"]), ("notin", "Exists", [])],
}
NONE = [
    "x=a||y=b",
    "x==a==b",
    "!x=a",
    "!x in (a)",
    "x<a",
    "x>",
    "x in",
    "x in a",
    "x in (a",
    "x in (a b)",
    "x in (a)b",
    "x notin (a)(b)",
    "xin (a)",
    "x y",
    "x,",
    ",x",
    "x,,y",
    "=a",
    "x=a b",
    "x=$a",
    "x=-a",
    "/x",
    "a/b/c=d",
    "A.com/x",
    f"{'x' * 64}=a",
    f"x={'a' * 64}",
    "приложение=a",
]


@pytest.mark.parametrize("text", READ)
def test_the_grammar_of_the_api(text: str) -> None:
    """Equality, sets, presence and numbers, with blanks where they may be."""
    found = [(each["key"], each["operator"], each["values"]) for each in requirements(text)]
    assert found == READ[text]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_selector(text: str) -> None:
    """Refused, with where it is wrong; nothing of it is left out in silence."""
    with pytest.raises(ValueError, match="is no label selector"):
        requirements(text)


@pytest.mark.parametrize(
    ("text", "labels", "fits"),
    [
        ("", {"x": "y"}, True),
        ("x=y,z=w", {"x": "y", "z": "w"}, True),
        ("x=y,z=w", {"x": "w", "z": "w"}, False),
        ("x=z", {}, False),
        ("x!=y,z!=w", {"x": "z", "z": "a"}, True),
        ("x!=y,z!=w", {"x": "z", "z": "w"}, False),
        ("x!=y", {}, True),
        ("x", {"x": ""}, True),
        ("x", {"y": "z"}, False),
        ("!x", {"y": "z"}, True),
        ("!x", {"x": "z"}, False),
        ("x=", {"x": ""}, True),
        ("x=", {}, False),
        ("x in (a,b)", {"x": "b"}, True),
        ("x in (a,b)", {"x": "c"}, False),
        ("x in (a,b)", {}, False),
        ("x notin (a,b)", {}, True),
        ("x notin (a,b)", {"x": "b"}, False),
        ("x>1", {"x": "2"}, True),
        ("x>1", {"x": "1"}, False),
        ("x>1", {"x": "many"}, False),
        ("x>1", {}, False),
        ("x<1", {"x": "0"}, True),
        ("x<1", {"x": "2"}, False),
        ("notin=in", {"notin": "in"}, True),
    ],
)
def test_which_labels_fit(text: str, labels: dict[str, str], fits: bool) -> None:
    """A label that is missing is not equal to anything, and in no set."""
    assert selects({"matchExpressions": requirements(text)}, labels) is fits
    if ">" not in text and "<" not in text:  # the stand-in, which lists pods, is of the same opinion
        assert selectors.labels(text)({"metadata": {"labels": labels}}) is fits


def test_an_operator_that_nobody_knows_fits_nothing() -> None:
    """An object of a later version may have one."""
    later: dict[str, Any] = {"matchExpressions": [{"key": "x", "operator": "Like", "values": ["a"]}]}
    assert not selects(later, {"x": "a"})


def test_the_configuration_refuses_what_is_no_selector() -> None:
    """With the service and the place; the selector of one that is in no cluster is nobody's business."""
    services = {
        "a": {"cluster": "main", "selector": "app=a,tier in web"},
        "b": {"cluster": "main", "selector": "app=b,tier in (web)"},
        "c": {"runtime": "none", "selector": "((("},
    }
    [found] = check({"services": services, "targets": {"main": {"driver": "sandbox"}}})
    assert found.path == ("services", "a", "selector")
    assert found.message == 'is no label selector from "tier in web" on'


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    """A cluster as untouched as a new one, with a pod that shares a label with realtime."""
    found = shared()
    furnish(found)
    labels = {"tier": "web", "app": "stranger", "alone": "yes"}
    meta = {"name": "stranger-1", "namespace": SPACE, "labels": labels}
    spec = {"containers": [{"name": "app", "image": "registry.example.com/stranger:1"}]}
    found.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    yield found
    found.call("faults")


def choosing(server: KubernetesServer, folder: Path, **selector: str) -> Any:
    """The target, with services that choose their pods so."""
    settings, clock = on_kubernetes(server), VirtualClock(START)
    known = dict(settings.catalogue.services)
    for name, text in selector.items():
        known[name] = replace(known["realtime"], name=name, selector=text)
    settings = replace(settings, catalogue=replace(settings.catalogue, services=known))
    return targets_of(settings, World(folder / "world.json", clock), clock)["kubernetes"].parts["main"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "selector",
    [
        "tier=web,app!=stranger",
        "tier=web,app notin (stranger)",
        "tier=web,app in (realtime)",
        "tier=web,!alone",
        "tier=web,pod-template-hash",
    ],
)
async def test_a_pod_that_the_selector_leaves_out_is_not_the_service_s(
    server: KubernetesServer, tmp_path: Path, selector: str
) -> None:
    """Every part of a selector counts: what is not listed as the service's is not evicted as its own."""
    target = choosing(server, tmp_path, realtime=selector)
    assert (await target.read("pods", service="realtime")).table is None
    with pytest.raises(RefusedError, match="belongs to no service"):
        await target.plan("evict", pod="stranger-1")
    await target.stop()


async def test_a_pod_that_the_selector_finds_is_the_service_s(
    server: KubernetesServer, tmp_path: Path
) -> None:
    """By sets and presence as well as by equality."""
    target = choosing(server, tmp_path, realtime="tier in (web),alone,app!=realtime")
    assert (await target.plan("evict", pod="stranger-1")).service == "realtime"
    await target.stop()


async def test_a_pod_of_the_same_name_in_two_namespaces(server: KubernetesServer, tmp_path: Path) -> None:
    """The one that belongs to a service; where both do, none, and the namespaces are named."""
    settings, clock = on_kubernetes(server), VirtualClock(START)
    known = settings.catalogue.services
    staging = replace(known["realtime"], name="staging", namespace="a-staging", aliases=())
    settings = replace(
        settings, catalogue=replace(settings.catalogue, services={**known, "staging": staging})
    )
    built = targets_of(settings, World(tmp_path / "world.json", clock), clock)
    target = built["kubernetes"].parts["main"]  # type: ignore[attr-defined]
    spec = {"containers": [{"name": "app", "image": "registry.example.com/realtime:1"}]}

    def pod(namespace: str, app: str) -> dict[str, Any]:
        meta = {"name": "web-0", "namespace": namespace, "labels": {"app": app}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    server.apply(pod("a-staging", "somebody"), pod(SPACE, "realtime"))
    plan = await target.plan("evict", pod="web-0")
    assert plan.summary == "pod delete web-0 (realtime in production, on no node)"
    assert plan.args["namespace"] == SPACE
    server.apply(pod("a-staging", "realtime"))
    for call in (target.plan("evict", pod="web-0"), target.read("describe", pod="web-0")):
        with pytest.raises(
            RefusedError, match='a pod "web-0" in a-staging and in production; say which with namespace='
        ):
            await call
    again = await target.plan("evict", **plan.args)  # as drift asks again
    assert again.args == plan.args
    await target.stop()
