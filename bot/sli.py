"""The figures by which services are judged, asked of Prometheus: one value, in time, or why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog

from bot.redact import Redactor
from bot.work import LateError, Work
from commands.actions import Answer, NoAnswerError, Ops, TargetError
from commands.catalogue import Sli
from incidents.ports import Clock, RefusedError
from incidents.watching import figures
from incidents.wording import span

log = structlog.get_logger()

_LONGEST = 160  # characters of a reason
_MOST = 1e15  # beyond it a number is a mistake of the query, and no one could read it


@dataclass(frozen=True, slots=True)
class Reading:
    """A value, or None with the reason as the end of a sentence."""

    value: float | None
    why: str = ""


class Indicators:
    """Asks for values; it never raises, and never takes longer than it is given."""

    def __init__(self, ops: Ops, redactor: Redactor, clock: Clock, work: Work) -> None:
        self._ops = ops
        self._redactor = redactor
        self._clock = clock
        self._work = work

    async def read(self, query: str, target: str, *, within: float) -> Reading:
        """The one value of a query now; `within` are seconds."""
        given = {"target": target} if target else {}
        try:
            asked = self._ops.target("prometheus").read(
                "query", expression=query, over=None, name=None, **given
            )
            answer = await self._work.within(self._clock, within, asked)
        except LateError:
            return Reading(None, f"no answer within {span(within)}")
        except (RefusedError, TargetError, NoAnswerError) as error:
            return Reading(None, self._said(str(error)))
        except Exception as error:  # the edge to a target: a figure is a service to the reader, no more
            log.warning("a figure could not be read", query=query, exc_info=error)
            return Reading(None, self._said(f"{type(error).__name__}: {error}"))
        return _one(answer)

    async def told(self, sli: Sli, *, within: float) -> str:
        """What a card says of a service's figure."""
        found = await self.read(sli.query, sli.target, within=within)
        if found.value is None:
            return f"SLI unavailable: {found.why}"
        return f"{sli.name} {figures(sli.unit, found.value)} now"

    def _said(self, text: str) -> str:
        told = " ".join(self._redactor.redact(text).split()).rstrip(".")
        return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"


def _one(answer: Answer) -> Reading:
    """An indicator is one finite number: of several nobody would know which is meant."""
    if not answer.figures:
        return Reading(None, "the query has no value now")
    if len(answer.figures) > 1:
        return Reading(None, f"the query has {len(answer.figures)} series, and an SLI is one")
    value = answer.figures[0]
    if not math.isfinite(value):
        return Reading(None, "the query has no number now")
    if abs(value) > _MOST:
        return Reading(None, "the query has a number that is too large to be a figure")
    return Reading(value)
