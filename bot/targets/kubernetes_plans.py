"""What has to be looked at before a change of a deployment can be planned, and the plan tried without effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from bot.targets import deployment_changes as changes
from bot.targets import kubernetes_objects as objects
from bot.targets.deployment_changes import MODE, Seen
from bot.targets.kubernetes_cluster import Cluster
from bot.targets.kubernetes_objects import at
from bot.targets.kubernetes_plans_around import Around
from bot.targets.kubernetes_steps import CONFIGURES, Found, first_step, look, restart_step
from bot.targets.kubernetes_wire import ConflictError, Json, PreviewError
from commands.actions import Plan, TargetError
from commands.catalogue import Service
from incidents.ports import RefusedError

_TRIAL = "watchbell"  # under which name a change is tried without effect


class Planner:
    """Makes the plans for one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._around = Around(cluster)

    async def plan(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """The plan of one of the changes; RefusedError where it cannot be, TargetError where nobody answers."""
        makers: Mapping[str, Callable[..., Awaitable[Plan]]] = {
            "scale": self._scale,
            "restart": self._restart,
            "rollback": self._rollback,
            "pause": self._pause,
            "resume": self._resume,
            "maintenance": self._maintenance,
            "toggle": self._toggle,
            "hpa": self._around.hpa,
            "evict": self._around.evict,
            "cordon": self._around.cordon,
            "uncordon": self._around.uncordon,
        }
        if verb not in makers:
            raise RefusedError(f"Kubernetes knows no {verb}.")
        return await self._tried(await makers[verb](**args))

    async def _tried(self, plan: Plan) -> Plan:
        """The plan, after the cluster was asked to check it (dryRun=All); its refusal is that of the plan."""
        found = await look(self._cluster, plan.verb, plan.args)
        now = self._cluster.clock.now()
        steps = [await first_step(self._cluster, plan, found, _TRIAL, now)]
        if plan.verb in CONFIGURES:
            steps.append(restart_step(self._cluster, plan, found.deployment, _TRIAL, now))
        try:
            for step in steps:
                await self._cluster.link.change(
                    step.method, step.where, step.body, mark=_TRIAL, kind=step.kind, dry=True
                )
        except (PreviewError, ConflictError) as error:
            return replace(plan, notes=(*plan.notes, f"preview unavailable: {str(error).rstrip('.')}"))
        return plan

    # -- how many pods ----------------------------------------------------------------------------

    async def _scale(self, *, service: str, replicas: int) -> Plan:
        seen, found = await self._found("scale", service)
        changes.check_replicas(seen, replicas)
        notes = await self._about_scaling(seen.service, found.deployment, replicas)
        return changes.scale(seen, replicas=replicas, notes=notes)

    async def _about_scaling(self, service: Service, deployment: Json, wanted: int) -> tuple[str, ...]:
        count, notes = objects.replicas(deployment), []
        keeper = await self._cluster.autoscaler(service)
        if keeper is not None:
            low, high = at(keeper, "spec", "minReplicas", default=1), at(keeper, "spec", "maxReplicas")
            how = "will undo this" if not low <= wanted <= high else "may change it again"
            how = how if wanted else "rests as long as it is 0"
            notes.append(f"HPA keeps {low}–{high} and {how}")
        cores, room = objects.limits(deployment)
        per = [*([objects.cpu(cores)] if cores else []), *([objects.memory(room)] if room else [])]
        if per and wanted:
            sums = " → ".join(
                objects.memory(room * n) if room else objects.cpu(cores * n) for n in (count, wanted)
            )
            notes.append(f"a pod may use {' and '.join(per)}; all of them {sums}")
        return tuple(notes)

    # -- rollouts ---------------------------------------------------------------------------------

    async def _restart(self, *, service: str) -> Plan:
        seen, found = await self._found("restart", service)
        _check_going(seen, found)
        return changes.restart(seen)

    async def _rollback(self, *, service: str, revision: int | None = None) -> Plan:
        seen, found = await self._found("rollback", service)
        _check_going(seen, found)
        print_now, now = objects.fingerprint(found.deployment), objects.revision(found.deployment)
        there = await self._cluster.revisions(seen.service, found.deployment)
        every = {objects.revision(each): each for each in there}
        others = {n for n, each in every.items() if objects.fingerprint(each) != print_now}
        number = changes.earlier(seen.name, now=now, others=others, every=every, wanted=revision)
        chosen = every[number]
        return changes.rollback(
            seen,
            now=now,
            revision=number,
            image=self._cluster.image(chosen),
            before={"template": print_now},
            after={"template": objects.fingerprint(chosen)},
        )

    async def _pause(self, *, service: str) -> Plan:
        return await self._paused(service, pause=True)

    async def _resume(self, *, service: str) -> Plan:
        return await self._paused(service, pause=False)

    async def _paused(self, service: str, *, pause: bool) -> Plan:
        verb, other = ("pause", "resume") if pause else ("resume", "pause")
        seen, found = await self._found(verb, service)
        if bool(at(found.deployment, "spec", "paused")) == pause:
            raise RefusedError(f"{seen.name}'s rollout is {'paused already' if pause else 'not paused'}.")
        note = "what is changed from now on reaches no pod until it is resumed" if pause else ""
        return changes.planned(
            seen,
            words=(verb, seen.name),
            summary=f"{verb} the rollout of {seen.name}",
            before={"paused": not pause},
            after={"paused": pause},
            undo=changes.back(other, seen.name, other, service=seen.name),
            notes=(note,) if note else (),
            done=f"{seen.name}'s rollout is {'paused' if pause else 'going on'}",
        )

    # -- configuration ----------------------------------------------------------------------------

    async def _maintenance(self, *, service: str, state: str, value: str | None = None) -> Plan:
        seen, found = await self._found("maintenance", service)
        now = at(found.config, "data", MODE)
        self._cluster.setting(MODE, str(now or ""))
        _check_going(seen, found)
        return changes.maintenance(seen, state=state, now=now, value=value)

    async def _toggle(self, *, service: str, key: str, new: str, expect: str | None = None) -> Plan:
        seen, found = await self._found("toggle", service)
        changes.known_toggle(seen.service, key)
        now = at(found.config, "data", key)
        if now is None:
            raise RefusedError(f"{seen.service.config_map} has no {key}, so I don't know what it is now.")
        self._cluster.setting(key, now)
        _check_going(seen, found)
        return changes.toggle(seen, key=key, new=new, now=now, expect=expect)

    # -- what all have ----------------------------------------------------------------------------

    async def _found(self, verb: str, service: str) -> tuple[Seen, Found]:
        known = self._cluster.service(service)
        found = await look(self._cluster, verb, {"service": known.name})
        if not found.deployment:
            raise TargetError(f"{self._cluster.link.title} has no deployment of {known.name}.")
        keeper = objects.gitops(found.config) or objects.gitops(found.deployment)
        kept = (f"{keeper} keeps it as its repository has it, and may undo this",) if keeper else ()
        return Seen(known, found.identity, objects.replicas(found.deployment), found.image, kept), found


def _check_going(seen: Seen, found: Found) -> None:
    """RefusedError where a new template would reach no pod."""
    if at(found.deployment, "spec", "paused"):
        raise RefusedError(f"{seen.name}'s rollout is paused; /resume {seen.name} first.")
