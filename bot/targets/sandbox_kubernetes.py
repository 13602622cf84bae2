"""The simulated cluster as a target: scale, restart, rollback, maintenance and toggles, and its reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.targets import deployment_changes as changes
from bot.targets import sandbox_kubernetes_reads as reads
from bot.targets import sandbox_pods as pods
from bot.targets.deployment_changes import MODE, Seen
from bot.targets.sandbox_changes import SandboxTarget, done
from bot.targets.sandbox_state import Deployment, State
from commands.actions import Answer, Outcome, Plan, Progress, TargetError
from commands.catalogue import Service
from commands.values import find_service
from incidents.ports import RefusedError

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
        notes = ("its pods are in CrashLoopBackOff",) if deployment.pods == "crashloop" else ()
        seen = Seen(service, deployment.uid, deployment.replicas, deployment.image, notes)
        return makers[verb](seen, deployment, **given)

    def _scale(self, seen: Seen, deployment: Deployment, *, replicas: int) -> Plan:
        changes.check_replicas(seen, replicas)
        return changes.scale(seen, replicas=replicas)

    def _restart(self, seen: Seen, deployment: Deployment) -> Plan:
        return changes.restart(seen)

    def _rollback(self, seen: Seen, deployment: Deployment, *, revision: int | None = None) -> Plan:
        now, every = deployment.revision, {r.number: r for r in deployment.history}
        others = every.keys() - {now}
        number = changes.earlier(seen.name, now=now, others=others, every=every, wanted=revision)
        return changes.rollback(seen, now=now, revision=number, image=every[number].image)

    def _maintenance(self, seen: Seen, deployment: Deployment, *, state: str) -> Plan:
        return changes.maintenance(seen, state=state, now=deployment.config.get(MODE, "false"))

    def _toggle(
        self, seen: Seen, deployment: Deployment, *, key: str, new: str, expect: str | None = None
    ) -> Plan:
        normal = changes.known_toggle(seen.service, key).normal
        now = deployment.env.get(key, normal)
        return changes.toggle(seen, key=key, new=new, now=now, expect=expect)

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
                deployment.config[MODE] = str(plan.after[MODE])
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
                return Outcome("failed", _unfinished(deployment, now), dict(state), stands=True)
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
