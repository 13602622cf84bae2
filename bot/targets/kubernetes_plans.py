"""What a change of a deployment would do: looked at, bounded, tried without effect, and said in full."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from bot.targets import kubernetes_objects as objects
from bot.targets.kubernetes_cluster import Cluster
from bot.targets.kubernetes_objects import at
from bot.targets.kubernetes_plans_around import Around
from bot.targets.kubernetes_steps import CONFIGURES, Found, first_step, look, restart_step
from bot.targets.kubernetes_wire import ConflictError, Json, PreviewError
from commands.actions import Plan, TargetError
from commands.catalogue import Service
from commands.values import nearest, replicas_taken, shown
from incidents.ports import RefusedError
from incidents.wording import counted

_MODE = "MAINTENANCE_MODE"
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
        known, found = await self._found("scale", service)
        (low, high), count = known.replicas, objects.replicas(found.deployment)
        if not low <= replicas <= high:
            stop = " (0 needs two approvals.)" if low == 0 else ""
            raise RefusedError(f"{replicas_taken(known)}; {replicas} is outside.{stop}")
        if replicas == count:
            raise RefusedError(f"{known.name} already runs {count}.")
        return self._plan(
            known,
            found,
            words=("scale", known.name, str(replicas)),
            summary=f"scale {known.name} {count} → {replicas}",
            args={"replicas": replicas},
            after={"replicas": replicas},
            effect="change" if replicas else "danger",
            undo=_undo("scale", f"{known.name} {count}", str(count), service=known.name, replicas=count),
            notes=await self._about_scaling(known, found.deployment, replicas),
            done=f"{known.name} runs {replicas} replica{'s' if replicas != 1 else ''}",
        )

    async def _about_scaling(self, service: Service, deployment: Json, wanted: int) -> tuple[str, ...]:
        count, notes = objects.replicas(deployment), []
        if not wanted:
            notes.append(f"0 stops {service.name} for everybody")
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
        known, found = await self._found("restart", service)
        count = self._rollable(known, found.deployment)
        return self._plan(
            known,
            found,
            words=("restart", known.name),
            summary=f"restart {known.name}: {count} pod{'s' if count != 1 else ''}, one after another",
            done=f"{known.name} was restarted, {count} of {count} ready",
        )

    def _rollable(self, service: Service, deployment: Json) -> int:
        """How many pods would be made anew; RefusedError where none would."""
        if at(deployment, "spec", "paused"):
            raise RefusedError(f"{service.name}'s rollout is paused; /resume {service.name} first.")
        if not (count := objects.replicas(deployment)):
            raise RefusedError(f"{service.name} runs no pods; scale it first.")
        return count

    async def _rollback(self, *, service: str, revision: int | None = None) -> Plan:
        known, found = await self._found("rollback", service)
        if at(found.deployment, "spec", "paused"):
            raise RefusedError(f"{known.name}'s rollout is paused; /resume {known.name} first.")
        now, chosen = await self._earlier(known, found.deployment, revision)
        before, after = found.image, self._cluster.image(chosen)
        number, name = objects.revision(chosen), known.name
        what = f"{objects.tag(before)} → {objects.tag(after)} " if before != after else ""
        same = () if before != after else ("the image stays the same; other settings of the pods change",)
        return self._plan(
            known,
            found,
            words=("rollback", name, str(number)),
            summary=f"rollback {name} {what}(revision {now} → {number})",
            args={"revision": number},
            before={"template": objects.fingerprint(found.deployment)},
            after={"image": after, "template": objects.fingerprint(chosen)},
            undo=_undo("rollback", f"{name} {now}", objects.tag(before), service=name, revision=now),
            notes=same,
            done=f"{name} runs {objects.tag(after)} again",
        )

    async def _earlier(self, service: Service, deployment: Json, wanted: int | None) -> tuple[int, Json]:
        """The present revision's number, and the ReplicaSet of the one to go back to."""
        print_now, now = objects.fingerprint(deployment), objects.revision(deployment)
        every = {objects.revision(each): each for each in await self._cluster.revisions(service, deployment)}
        others = {n: each for n, each in every.items() if objects.fingerprint(each) != print_now}
        if not others:
            raise RefusedError(f"{service.name} has no earlier revision.")
        number = wanted if wanted is not None else max(others)
        if number == now or (number in every and number not in others):
            raise RefusedError(f"{service.name} already runs what revision {number} is.")
        if number not in others:
            there = ", ".join(str(n) for n in sorted(others))
            raise RefusedError(f"{service.name} has no revision {number}; there are {there}.")
        return now, others[number]

    async def _pause(self, *, service: str) -> Plan:
        return await self._paused(service, pause=True)

    async def _resume(self, *, service: str) -> Plan:
        return await self._paused(service, pause=False)

    async def _paused(self, service: str, *, pause: bool) -> Plan:
        verb, back = ("pause", "resume") if pause else ("resume", "pause")
        known, found = await self._found(verb, service)
        if bool(at(found.deployment, "spec", "paused")) == pause:
            raise RefusedError(f"{known.name}'s rollout is {'paused already' if pause else 'not paused'}.")
        note = "what is changed from now on reaches no pod until it is resumed" if pause else ""
        return self._plan(
            known,
            found,
            words=(verb, known.name),
            summary=f"{verb} the rollout of {known.name}",
            before={"paused": not pause},
            after={"paused": pause},
            undo=_undo(back, known.name, back, service=known.name),
            notes=(note,) if note else (),
            done=f"{known.name}'s rollout is {'paused' if pause else 'going on'}",
        )

    # -- configuration ----------------------------------------------------------------------------

    async def _maintenance(self, *, service: str, state: str) -> Plan:
        known, found = await self._found("maintenance", service)
        name, on = known.name, state == "on"
        now, other = str(at(found.config, "data", _MODE, default="")), "off" if on else "on"
        self._cluster.setting(_MODE, now)
        if not now and not on:
            raise RefusedError(
                f"{known.config_map} has no {_MODE}, so {name}'s maintenance mode is off already."
            )
        if (now.casefold() == "true") == on:
            raise RefusedError(f"{name}'s maintenance mode is {state} already.")
        count = self._rollable(known, found.deployment)
        return self._plan(
            known,
            found,
            words=("maintenance", name, state),
            summary=f"maintenance {name} {other} → {state}",
            args={"state": state},
            before={_MODE: at(found.config, "data", _MODE)},
            after={_MODE: "true" if on else "false"},
            undo=_undo("maintenance", f"{name} {other}", other, service=name, state=other) if now else None,
            notes=(f"patches {known.config_map}, then restarts {counted(count, 'pod')}",),
            done=f"{name}'s maintenance mode is {state}",
        )

    async def _toggle(self, *, service: str, key: str, new: str, expect: str | None = None) -> Plan:
        known, found = await self._found("toggle", service)
        name, toggle = known.name, known.toggles.get(key)
        if toggle is None:
            there = ", ".join(sorted(known.toggles)) or "none"
            raise RefusedError(
                f"{name} has no toggle {key}.{nearest(key, known.toggles) or f' It has: {there}.'}"
            )
        now = at(found.config, "data", key)
        if now is None:
            raise RefusedError(f"{known.config_map} has no {key}, so I don't know what it is now.")
        self._cluster.setting(key, now)
        if now == new:
            raise RefusedError(f"{name} has {key}={now} already.")
        if _kind(new) != _kind(toggle.normal):
            raise RefusedError(
                f"{key} takes a value like {toggle.normal} or {toggle.relief}; {shown(new)} is none."
            )
        expected = expect if expect is not None else toggle.relief if new == toggle.normal else toggle.normal
        if now != expected:
            raise RefusedError(
                f"{name} has {key}={now}, not {expected}; say expect={now} if you mean to change that."
            )
        count = self._rollable(known, found.deployment)
        back = {"service": name, "key": key, "new": now, "expect": new}
        return self._plan(
            known,
            found,
            words=("toggle", name, key, new, f"expect={now}"),
            summary=f"toggle {name} {key} {now} → {new}",
            args={"key": key, "new": new, "expect": now},
            before={key: now},
            after={key: new},
            undo=_undo("toggle", f"{name} {key} {now} expect={new}", now, **back),
            notes=(f"patches {known.config_map}, then restarts {counted(count, 'pod')}",),
            done=f"{name} has {key}={new}",
        )

    # -- what all have ----------------------------------------------------------------------------

    async def _found(self, verb: str, service: str) -> tuple[Service, Found]:
        known = self._cluster.service(service)
        found = await look(self._cluster, verb, {"service": known.name})
        if not found.deployment:
            raise TargetError(f"{self._cluster.link.title} has no deployment of {known.name}.")
        return known, found

    def _plan(
        self,
        service: Service,
        found: Found,
        *,
        words: tuple[str, ...],
        args: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
        **more: Any,
    ) -> Plan:
        deployment = found.deployment
        seen = {
            "replicas": objects.replicas(deployment),
            "image": found.image,
            **(before or {}),
        }
        keeper = objects.gitops(found.config) or objects.gitops(deployment)
        kept = (f"{keeper} keeps it as its repository has it, and may undo this",) if keeper else ()
        return Plan(
            command=words[0],
            line=" ".join(words),
            target="kubernetes",
            verb=words[0],
            args={"service": service.name, **(args or {})},
            subject=f"{service.cluster}/{service.namespace}/{service.deployment}",
            identity=found.identity,
            before=seen,
            after={**seen, **(after or {})},
            environment=service.environment,
            service=service.name,
            notes=(*notes, *kept),
            **more,
        )


def _undo(command: str, words: str, label: str, **args: Any) -> dict[str, Any]:
    """The way back, as a plan carries it."""
    return {"line": f"{command} {words}", "verb": command, "args": args, "label": label}


def _kind(value: str) -> str:
    folded = value.casefold()
    if folded in ("true", "false"):
        return "bool"
    whole, point, fraction = folded.partition(".")
    number = folded.isascii() and whole.isdigit() and (fraction.isdigit() or not point)
    return "number" if number else "text"
