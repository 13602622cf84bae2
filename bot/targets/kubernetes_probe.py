"""Looks inside pods: fixed commands, and beside them only what the configuration lists. No shell, no options.

What people type is compared with that list; what is sent is the entry of the list, a word of its own in the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.beside import beside, redacted
from bot.targets import kubernetes_objects as objects
from bot.targets.guard import UnreachableError
from bot.targets.kubernetes_cluster import Cluster
from bot.targets.kubernetes_exec import MOST_BYTES, Ran
from bot.targets.kubernetes_objects import at, name
from bot.targets.kubernetes_wire import Json, clean, path
from bot.targets.log_lines import printable
from commands.actions import Answer, TargetError
from commands.catalogue import Service
from commands.values import nearest, shown
from incidents.ports import RefusedError
from incidents.wording import span

_SECONDS = "5"  # that a connection or a page has
_FILE_BYTES = str(MOST_BYTES + 1)  # so that it shows whether there is more
_PAGE_BYTES = str(2 * MOST_BYTES)
_ENDING = b"\nHTTP "  # what stands after a page


@dataclass(frozen=True, slots=True)
class Look:
    """One look: the command, what it is called, and a line that has to be known with its answer."""

    argv: tuple[str, ...]
    title: str
    note: str = ""


async def probe(
    cluster: Cluster,
    rules: Mapping[str, Any],
    what: str,
    of: str | None = None,
    service: str | None = None,
    pod: str | None = None,
) -> Answer:
    """Run one look in a service's pod, or in a pod by its full name."""
    look = chosen(rules, what, of)
    found, known = await (cluster.pod(pod) if pod is not None else _first(cluster, service or ""))
    if known is None:
        raise RefusedError(f"The pod {shown(name(found))} belongs to no service of the catalogue.")
    allowed = rules["services"]
    if allowed and known.name not in allowed:
        there = ", ".join(allowed)
        raise RefusedError(f"Nothing is looked at inside the pods of {known.name}, only in those of {there}.")
    where = path("v1", str(at(found, "metadata", "namespace")), "pods", name(found), "exec")
    ends = float(rules["timeout"])
    ran = await cluster.link.run(where, look.argv, objects.speaker(found), ends=ends)
    return await _answer(cluster, known, name(found), look, ran, ends)


def chosen(rules: Mapping[str, Any], what: str, of: str | None) -> Look:
    """The look that is meant; RefusedError for what is not in the configuration's list."""
    if what in _PLAIN:
        if of is not None:
            raise RefusedError(f"`probe … {what}` takes nothing after it.")
        return _PLAIN[what]
    return {"connect": _connect, "http": _page, "file": _file}[what](rules, of)


_PLAIN = {
    "ps": Look(("ps", "aux"), "processes"),
    "memory": Look(
        ("free", "-m"), "memory in MiB", "Counted for the whole node; `/top` has what the pod itself uses."
    ),
    "disk": Look(("df", "-h"), "disks"),
}


def _connect(rules: Mapping[str, Any], of: str | None) -> Look:
    place = _listed(of, rules["connect"], "connect", "place")
    host, _, port = place.rpartition(":")
    return Look(("nc", "-z", "-v", "-w", _SECONDS, host, port), f"connection to {place}")


def _page(rules: Mapping[str, Any], of: str | None) -> Look:
    pages = {page: page for page in rules["http"]}
    for page in rules["http"]:
        short = page[page.index("/") :]
        if sum(other.endswith(short) and other[other.index("/") :] == short for other in pages) == 1:
            pages[short] = page
    page = pages[_listed(of, pages, "http", "page")]
    # -q first: no .curlrc of the image has a say; no redirect, no proxy, no reading of { } and [ ]. Its limit lies
    # beyond the one here, which knows where a line ends.
    options = ("-q", "-sS", "-g", "--noproxy", "*", "--max-time", _SECONDS, "--max-filesize", _PAGE_BYTES)
    ending = _ENDING.decode() + "%{http_code} in %{time_total} s\n"
    return Look(("curl", *options, "--write-out", ending, f"http://localhost:{page}"), f"page {page}")


def _file(rules: Mapping[str, Any], of: str | None) -> Look:
    known = rules["files"]
    called = _listed(of, known, "file", "file")
    return Look(("head", "-c", _FILE_BYTES, str(known[called])), f"file {called}")


def _listed(of: str | None, known: Any, what: str, kind: str) -> str:
    """The entry of the configuration's list that is meant."""
    there = [str(each) for each in known]
    if not there:
        raise RefusedError(f"The configuration lists no {kind} for `probe … {what}`.")
    if of not in there:
        said = f"There is no {kind} {shown(of)} in the list." if of is not None else f"Say which {kind}."
        raise RefusedError(f"{said} There are {', '.join(there)}.{nearest(of or '', there)}")
    return of


async def _first(cluster: Cluster, word: str) -> tuple[Json, Service]:
    """A service's first pod, those that are ready before the others; RefusedError where there is none."""
    known = cluster.service(word)
    there = sorted(await cluster.pods(known), key=lambda pod: not objects.is_ready(pod))
    if not there:
        raise RefusedError(f"{known.name} has no pod that runs.")
    return there[0], known


async def _answer(cluster: Cluster, service: Service, pod: str, look: Look, ran: Ran, ends: float) -> Answer:
    redact, program = cluster.redactor.redact, f"`{look.argv[0]}`"
    if ran.silent:
        raise UnreachableError(f"{cluster.link.title}: {program} in {pod} {ran.why}.")
    if ran.refused:
        raise TargetError(f"{program} in {pod} {clean(redact(_refusal(ran.why)))}.")
    text = await redacted(redact, await beside(_text, ran, page=look.argv[0] == "curl"))
    lines = [look.note] if look.note else []
    if ran.code:
        lines.append(f"{program} ended with code {ran.code}.")
    elif ran.code is None:
        last = f" ({span(ends)})" if ran.late else ""
        lines.append(f"{program} {ran.why}{last}; this is what came until then.")
    if not text.strip():
        lines.append("It wrote no whole line." if ran.late else "It wrote nothing.")
    head = f"{service.name} · {service.environment} · {look.title} in …{pod[-11:]}"
    return Answer(head, lines=tuple(lines), text=text, file_name=f"{service.name}-{look.argv[0]}.txt")


def _text(ran: Ran, *, page: bool) -> str:
    """What was written, in whole lines: of a page that did not come to its end the last line goes."""
    written = bytes(ran.written)
    if page and ran.code:
        body, sign, ending = written.rpartition(_ENDING)
        written = body[: body.rfind(b"\n") + 1] + sign[1:] + ending
    return "\n".join(map(printable, written.split(b"\n")))


def _refusal(why: str) -> str:
    return "could not be run: the image does not have it" if "executable file not found" in why else why
