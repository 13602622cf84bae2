"""The simulated cluster as a target: scale, restart, rollback, maintenance and toggles, and its reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.targets import sandbox_kubernetes_reads as reads
from bot.targets import sandbox_pods as pods
from bot.targets.sandbox_changes import SandboxTarget, done, undo
from bot.targets.sandbox_state import Deployment, State
from commands.actions import Answer, Outcome, Plan, Progress, TargetError
from commands.catalogue import Service
from commands.values import find_service, nearest, replicas_taken, shown
from incidents.ports import RefusedError

_MODE = "MAINTENANCE_MODE"
_SAID = {"evict": "pod delete"}  # verb → how people call it, where they differ


class SandboxKubernetes(SandboxTarget):
    """Deployments, pods and config maps of the sandbox."""

    name = "kubernetes"
    speaks = "Kubernetes"

    # -- plans ------------------------------------------------------------------------------------

    def planned(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """The plan of one of the five changes; RefusedError where it cannot be."""
        makers: dict[str, Callable[..., Plan]] = {
            "scale": self._scale,
            "restart": self._restart,
            "rollback": self._rollback,
            "maintenance": self._maintenance,
            "toggle": self._toggle,
        }
        if verb not in makers:
            raise RefusedError(f"The sandbox has no {_SAID.get(verb, verb)}; a real cluster does.")
        given = dict(args)
        service, deployment = self._found(given.pop("service"))
        return makers[verb](service, deployment, **given)

    def _scale(self, service: Service, deployment: Deployment, *, replicas: int) -> Plan:
        low, high = service.replicas
        name, count = service.name, deployment.replicas
        if not low <= replicas <= high:
            stop = " (0 needs two approvals.)" if low == 0 else ""
            raise RefusedError(f"{replicas_taken(service)}; {replicas} is outside.{stop}")
        if replicas == count:
            raise RefusedError(f"{name} already runs {count}.")
        back = undo("scale", f"{name} {count}", str(count), {"service": name, "replicas": count})
        return self._plan(
            service,
            deployment,
            words=("scale", name, str(replicas)),
            summary=f"scale {name} {count} → {replicas}",
            args={"replicas": replicas},
            after={"replicas": replicas},
            effect="change" if replicas else "danger",
            undo=back,
            notes=() if replicas else (f"0 stops {name} for everybody",),
            done=f"{name} runs {replicas} replica{'s' if replicas != 1 else ''}",
        )

    def _restart(self, service: Service, deployment: Deployment) -> Plan:
        count = deployment.replicas
        if count == 0:
            raise RefusedError(f"{service.name} runs no pods; scale it first.")
        return self._plan(
            service,
            deployment,
            words=("restart", service.name),
            summary=f"restart {service.name}: {count} pod{'s' if count != 1 else ''}, one after another",
            done=f"{service.name} was restarted, {count} of {count} ready",
        )

    def _rollback(self, service: Service, deployment: Deployment, *, revision: int | None = None) -> Plan:
        name, now = service.name, deployment.revision
        earlier = {r.number: r for r in deployment.history if r.number != now}
        if not earlier:
            raise RefusedError(f"{name} has no earlier revision.")
        wanted = revision if revision is not None else max(earlier)
        if wanted == now:
            raise RefusedError(f"{name} already runs revision {now}.")
        if wanted not in earlier:
            there = ", ".join(str(number) for number in sorted(earlier))
            raise RefusedError(f"{name} has no revision {wanted}; there are {there}.")
        image = earlier[wanted].image
        return self._plan(
            service,
            deployment,
            words=("rollback", name, str(wanted)),
            summary=f"rollback {name} {_tag(deployment.image)} → {_tag(image)} (revision {now} → {wanted})",
            args={"revision": wanted},
            after={"image": image},
            undo=undo(
                "rollback", f"{name} {now}", _tag(deployment.image), {"service": name, "revision": now}
            ),
            done=f"{name} runs {_tag(image)} again",
        )

    def _maintenance(self, service: Service, deployment: Deployment, *, state: str) -> Plan:
        name, on = service.name, state == "on"
        now, other = deployment.config.get(_MODE, "false"), "off" if on else "on"
        if (now == "true") == on:
            raise RefusedError(f"{name}'s maintenance mode is {state} already.")
        config_map = service.config_map or f"{name}-config"
        return self._plan(
            service,
            deployment,
            words=("maintenance", name, state),
            summary=f"maintenance {name} {other} → {state}",
            args={"state": state},
            before={_MODE: now},
            after={_MODE: "true" if on else "false"},
            undo=undo("maintenance", f"{name} {other}", other, {"service": name, "state": other}),
            notes=(f"patches {config_map}, then restarts {deployment.replicas} pods",),
            done=f"{name}'s maintenance mode is {state}",
        )

    def _toggle(
        self, service: Service, deployment: Deployment, *, key: str, new: str, expect: str | None = None
    ) -> Plan:
        name, toggle = service.name, service.toggles.get(key)
        if toggle is None:
            there = ", ".join(sorted(service.toggles)) or "none"
            raise RefusedError(
                f"{name} has no toggle {key}.{nearest(key, service.toggles) or f' It has: {there}.'}"
            )
        now = deployment.env.get(key, toggle.normal)
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
        back = {"service": name, "key": key, "new": now, "expect": new}
        return self._plan(
            service,
            deployment,
            words=("toggle", name, key, new, f"expect={now}"),
            summary=f"toggle {name} {key} {now} → {new}",
            args={"key": key, "new": new, "expect": now},
            before={key: now},
            after={key: new},
            undo=undo("toggle", f"{name} {key} {now} expect={new}", now, back),
            notes=(f"restarts {deployment.replicas} pods",),
            done=f"{name} has {key}={new}",
        )

    def _plan(
        self,
        service: Service,
        deployment: Deployment,
        *,
        words: tuple[str, ...],
        args: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
        **more: Any,
    ) -> Plan:
        state = {"replicas": deployment.replicas, "image": deployment.image, **(before or {})}
        if deployment.pods == "crashloop":
            notes = (*notes, "its pods are in CrashLoopBackOff")
        return Plan(
            command=words[0],
            line=" ".join(words),
            target=self.name,
            verb=words[0],
            args={"service": service.name, **(args or {})},
            subject=f"{service.cluster}/{service.namespace}/{service.deployment or service.name}",
            identity=deployment.uid,
            before=state,
            after={**state, **(after or {})},
            environment=service.environment,
            service=service.name,
            notes=notes,
            **more,
        )

    # -- running ----------------------------------------------------------------------------------

    def observed(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """The deployment's uid, and what of it the plan was made on."""
        _, deployment = self._found(plan.args["service"])
        known: dict[str, Any] = {**deployment.config, **deployment.env}
        known |= {"replicas": deployment.replicas, "image": deployment.image}
        return deployment.uid, {key: known.get(key) for key in plan.before}

    def apply(self, plan: Plan, state: State) -> None:
        """Want what the plan wants; the pods follow."""
        deployment, now, args = state.deployments[plan.args["service"]], self.world.now(), plan.args
        match plan.verb:
            case "scale":
                pods.scale(deployment, args["replicas"], now)
                return
            case "rollback":
                pods.go_back(deployment, args["revision"], now)
            case "maintenance":
                deployment.config[_MODE] = str(plan.after[_MODE])
            case "toggle":
                deployment.env[args["key"]] = args["new"]
        pods.roll(deployment, now, plan.line)

    async def finish(self, plan: Plan, key: str, progress: Progress) -> Outcome:
        """Watch the pods until all is as wanted, somebody else moves them, or 30 seconds have passed."""
        mark = self.world.accepted(key)
        until = (mark.at if mark else self.world.now()) + pods.WITHIN
        told = -1
        while True:
            _, deployment = self._found(plan.args["service"])
            identity, state = self.observed(plan)
            moved = [name for name, value in plan.after.items() if state[name] != value]
            if identity != plan.identity or moved:
                what = ", ".join(f"{name} is {state[name]}" for name in moved) or "it is another deployment"
                return Outcome("failed", f"somebody else changed it meanwhile: {what} now", dict(state))
            now = self.world.now()
            count, total, what = _progress(plan, deployment, now)
            if count != told:
                told = count
                await progress(count, total, what)
            if pods.settled(deployment, now):
                return done(plan, state)
            if now >= until:
                return Outcome("failed", _unfinished(deployment, now), dict(state))
            move = pods.next_move(deployment, now)
            await self.world.clock.sleep((min(until, move or until) - now) / 1000)

    def shows(self, plan: Plan) -> str:
        """Wanted and ready, in a sentence."""
        _, deployment = self._found(plan.args["service"])
        count = len(pods.ready(deployment, self.world.now()))
        return f"Kubernetes shows {deployment.replicas} wanted, {count} ready."

    # -- reads ------------------------------------------------------------------------------------

    def answered(self, verb: str, args: Mapping[str, Any]) -> Answer:
        """One of the reads."""
        return reads.answer(self.world, verb, args)

    def trouble(self, args: Mapping[str, Any]) -> str:
        """The knob of the service; a pod's or a namespace's reads always work."""
        name = args.get("service")
        return self._found(name)[1].trouble if name else ""

    def _found(self, name: str) -> tuple[Service, Deployment]:
        service = find_service(name, self.world.catalogue)
        try:
            return service, self.world.deployment(service.name)
        except LookupError as error:
            raise TargetError(str(error)) from error


def _tag(image: str) -> str:
    return image.rpartition(":")[2]


def _kind(value: str) -> str:
    folded = value.casefold()
    folded = value.casefold()
    return "bool" if folded in ("true", "false") else "number" if _is_number(folded) else "text"


def _is_number(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    return text.isascii() and whole.isdigit() and (fraction.isdigit() or "." not in text)


def _progress(plan: Plan, deployment: Deployment, now: int) -> tuple[int, int, str]:
    if plan.verb != "scale":
        return pods.rolled(deployment, now), deployment.replicas, "ready"
    before, wanted = plan.before["replicas"], plan.after["replicas"]
    if wanted >= before:
        return min(wanted, len(pods.ready(deployment, now))), wanted, "ready"
    return (
        min(before - wanted, max(0, before - len(pods.present(deployment, now)))),
        before - wanted,
        "stopped",
    )


def _unfinished(deployment: Deployment, now: int) -> str:
    count = len(pods.ready(deployment, now))
    why = "; the pods are in CrashLoopBackOff" if deployment.pods == "crashloop" else ""
    return f"{count} of {deployment.replicas} ready after 30 s{why}"
