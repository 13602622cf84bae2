"""How a change of a cluster runs: sent once, to what was planned and nothing else, then followed to its end."""

from __future__ import annotations

from typing import Any

from bot.targets import kubernetes_objects as objects
from bot.targets.kubernetes_cluster import Cluster
from bot.targets.kubernetes_objects import at
from bot.targets.kubernetes_steps import (
    CONFIGURES,
    Found,
    accepted,
    first_step,
    look,
    mark_of,
    pod_uid,
    restart_step,
    restarted,
    state,
)
from bot.targets.kubernetes_wire import BrokenError, ConflictError
from commands.actions import Outcome, Plan, Progress, TargetError
from incidents.ports import RefusedError
from incidents.wording import span

TRIES = 3  # a version that has moved is no answer to the change: it is looked at and sent again
LONGEST = 840.0  # seconds that a rollout is followed; the bot gives up on any change at 900
_LOOK = 10.0  # seconds that a look counts at most
_SILENT = 6  # looks in a row without an answer, after which nobody knows
_AT_ONCE = frozenset({"pause", "hpa", "cordon", "uncordon"})


class Runner:
    """Runs the plans of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def run(self, plan: Plan, key: str, progress: Progress) -> Outcome:
        """Do it, once. TargetError: nothing was changed."""
        mark = mark_of(plan, key)
        try:
            await self._begin(plan, mark)
        except BrokenError as error:
            return Outcome("unknown", f"{error}. {await self._shows(plan)}")
        if plan.verb in CONFIGURES and (ended := await self._restart(plan, mark)) is not None:
            return ended
        return await self._finish(plan, progress)

    async def follow(self, plan: Plan, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the outcome where the objects bear the mark of the change, else None."""
        mark = mark_of(plan, key)
        found = await look(self._cluster, plan.verb, plan.args)
        if not accepted(found, plan, mark):
            return None
        if plan.verb in CONFIGURES and not restarted(found.deployment, mark):
            return _half(plan, "I was restarted before I restarted the pods")
        return await self._finish(plan, progress)

    async def _begin(self, plan: Plan, mark: str) -> None:
        """The first request; TargetError where what was planned has moved."""
        link, now = self._cluster.link, self._cluster.clock.now()
        for _ in range(TRIES):
            try:
                found = await look(self._cluster, plan.verb, plan.args)
            except RefusedError as error:
                raise TargetError(f"{error} Nothing was changed.") from error
            if found.identity != plan.identity or state(found, plan.before, plan.identity) != dict(
                plan.before
            ):
                raise TargetError(f"{plan.subject} is no longer as it was planned, so nothing was changed.")
            step = await first_step(self._cluster, plan, found, mark, now)
            try:
                await link.change(step.method, step.where, step.body, mark=mark, kind=step.kind)
            except ConflictError:
                continue
            return
        raise TargetError(f"{plan.subject} changes all the time, so nothing was changed; try again.")

    async def _restart(self, plan: Plan, mark: str) -> Outcome | None:
        """The second request of a change of the configuration; its outcome where it came to nothing."""
        link, now = self._cluster.link, self._cluster.clock.now()
        why = "the deployment changes all the time"
        for _ in range(TRIES):
            try:
                found = await look(self._cluster, plan.verb, plan.args)
                step = restart_step(self._cluster, plan, found.deployment, mark, now)
                await link.change(step.method, step.where, step.body, mark=mark, kind=step.kind)
            except ConflictError:
                continue
            except (TargetError, RefusedError) as error:
                why = str(error).rstrip(".")
                break
            except BrokenError as error:
                return Outcome("unknown", f"{error} to restart the pods. {await self._shows(plan)}")
            return None
        return _half(plan, why)

    # -- to its end -------------------------------------------------------------------------------

    async def _finish(self, plan: Plan, progress: Progress) -> Outcome:
        """Watch until all is as planned, somebody else moves it, or the deadline has passed.

        Nothing that goes wrong here is a refusal: the change has been accepted.
        """
        watch = _Watch(self._cluster, plan, progress)
        silent = 0
        while True:
            try:
                found = await look(self._cluster, plan.verb, plan.args)
                if (outcome := await watch.judged(found)) is not None:
                    return outcome
                silent = 0
            except (TargetError, RefusedError) as error:
                silent += 1
                if silent >= _SILENT:
                    return Outcome(
                        "unknown", f"it was accepted, but what became of it does not show. {error}"
                    )
            await watch.pause()

    async def _shows(self, plan: Plan) -> str:
        """What the cluster says now, for an outcome that is unknown."""
        try:
            found = await look(self._cluster, plan.verb, plan.args)
        except (TargetError, RefusedError) as error:
            return str(error)
        now = state(found, plan.before, plan.identity)
        if found.deployment:
            told = f"{objects.replicas(found.deployment)} wanted, {_ready(found)} ready"
            more = [f"{k}={v}" for k, v in now.items() if k not in ("replicas", "image", "template")]
            return f"Kubernetes shows {', '.join([told, *more])}."
        return f"Kubernetes shows {', '.join(f'{key}={value}' for key, value in now.items())}."


class _Watch:
    """One change that was accepted, on its way to its end."""

    def __init__(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        self._cluster, self._plan, self._progress = cluster, plan, progress
        self._looked = cluster.clock.now()
        self._passed = self._moved = 0.0  # seconds since it was accepted: now, and when it moved last
        self._told = -1
        self._what = "ready"

    async def pause(self) -> None:
        """Wait for the next look: soon at first, then less often.

        A clock that is set meanwhile makes no rollout late: more than a look can take does not count.
        """
        wait = 1.0 if self._passed < 60 else 5.0
        await self._cluster.clock.sleep(wait)
        before, self._looked = self._looked, self._cluster.clock.now()
        told = (self._looked - before).total_seconds()
        self._passed += min(max(told, wait), wait + _LOOK)

    async def judged(self, found: Found) -> Outcome | None:
        """The outcome, or None where it goes on."""
        plan, now = self._plan, state(found, self._plan.before, self._plan.identity)
        moved = {key: now[key] for key, value in plan.after.items() if now[key] != value}
        if moved or (plan.verb != "evict" and found.identity != plan.identity):
            what = ", ".join(f"{key} is {value}" for key, value in moved.items()) or "it is another one"
            return Outcome("failed", f"somebody else changed it meanwhile: {what} now", now)
        if plan.verb == "evict":
            return await self._gone(found, now)
        if plan.verb in _AT_ONCE:
            return Outcome("done", plan.done, now)
        return await self._rolled(found.deployment, now)

    async def _gone(self, found: Found, now: dict[str, Any]) -> Outcome | None:
        """A pod that leaves has its time to do so."""
        if not found.pod or objects.uid(found.pod) != pod_uid(self._plan.identity):
            return Outcome("done", self._plan.done, now)
        grace = float(at(found.pod, "spec", "terminationGracePeriodSeconds", default=30)) + 60
        if self._passed > min(LONGEST, grace):
            return Outcome("failed", f"the pod is still ending after {span(round(grace))}", now)
        return None

    async def _rolled(self, deployment: Any, now: dict[str, Any]) -> Outcome | None:
        rollout, plan = objects.rollout(deployment), self._plan
        done, total, what = _progress(plan, rollout)
        if done > self._told:
            self._told, self._moved, self._what = done, self._passed, what
            await self._progress(done, total, what)
        if rollout.settled:
            if self._told < total:
                await self._progress(total, total, what)
            return Outcome("done", plan.done, now)
        deadline = min(LONGEST, float(at(deployment, "spec", "progressDeadlineSeconds", default=600)) + 30)
        late = self._passed > deadline
        if late or (rollout.stuck and plan.verb != "scale"):
            why = rollout.stuck or f"{span(round(deadline))} have passed"
            return Outcome("failed", await self._stuck(rollout, why), now, stands=True)
        if self._passed - self._moved > 5:
            await self._explain(max(0, self._told), total, what)
        return None

    async def _explain(self, done: int, total: int, what: str) -> None:
        """Nothing has moved for a while: say on the card what ails the pods."""
        service = self._cluster.service(str(self._plan.args["service"]))
        ails = objects.ailments(await self._cluster.pods(service))
        told = f"{what}; {ails}" if ails else what
        if told != self._what:
            self._what = told
            await self._progress(done, total, told)

    async def _stuck(self, rollout: objects.Rollout, why: str) -> str:
        service = self._cluster.service(str(self._plan.args["service"]))
        ails = objects.ailments(await self._cluster.pods(service))
        return f"{rollout.ready} of {rollout.wanted} ready, then it came to a halt: {why}{f'; {ails}' if ails else ''}"


def _progress(plan: Plan, rollout: objects.Rollout) -> tuple[int, int, str]:
    before = int(plan.before.get("replicas", 0))
    if plan.verb == "scale" and rollout.wanted < before:
        total = before - rollout.wanted
        return max(0, min(total, before - rollout.present)), total, "stopped"
    return rollout.ready, rollout.wanted, "ready"


def _ready(found: Found) -> int:
    return int(at(found.deployment, "status", "readyReplicas", default=0))


def _half(plan: Plan, why: str) -> Outcome:
    """The config map has the new value, and the pods do not know it."""
    service = plan.args["service"]
    text = f"half of it was done: the config map has the new value, but the pods were not restarted ({why})"
    told = f"{text}; `restart {service}` finishes it, undoing it takes the value back"
    return Outcome("failed", told, stands=True)
