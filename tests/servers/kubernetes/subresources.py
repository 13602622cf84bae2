"""/scale, /status and /eviction."""

from __future__ import annotations

from typing import Any

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.call import Answer, Call
from tests.servers.kubernetes.fields import managed
from tests.servers.kubernetes.keepers import covered
from tests.servers.kubernetes.kubelet import active, ready
from tests.servers.kubernetes.objects import check_version, current, patched, update, write
from tests.servers.kubernetes.selectors import text_of
from tests.servers.kubernetes.status import ApiError, bad_request, created, internal, invalid
from tests.servers.kubernetes.validation import bad

Json = dict[str, Any]
SCALES = kinds.Resource("autoscaling", "v1", "scales", "Scale", "V1Scale")
EVICTIONS = kinds.Resource("policy", "v1", "evictions", "Eviction", "V1Eviction")
VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
TWO_BUDGETS = (
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
)


def scale_of(found: Json) -> Json:
    """The autoscaling/v1 Scale of a workload; as in Go's `omitempty`, spec is empty at no replicas."""
    meta, replicas = found["metadata"], found["spec"]["replicas"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Json = {"replicas": (found.get("status") or {}).get("replicas", 0)}
    status["selector"] = text_of(found["spec"]["selector"])
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def scale(call: Call) -> Answer:
    """Read or write how many replicas a workload has; resourceVersion is the workload's."""
    found = current(call)
    if call.verb == "get":
        return Answer(scale_of(found))
    as_scale = Call(**{**vars(call), "resource": SCALES})
    document = patched(call, scale_of(found)) if call.verb == "patch" else call.body()
    asked = as_scale.typed(document, patched=call.verb == "patch")
    check_version(call, asked.get("metadata", {}), found["metadata"])
    replicas = asked.get("spec", {}).get("replicas", 0)
    if replicas < 0:
        cause = bad("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", call.name, [cause])
    changed = {**found, "spec": {**found["spec"], "replicas": replicas}}
    entries = managed(found, changed, call.manager, call.cluster.stamp(), "scale")
    changed["metadata"] = {**found["metadata"], "managedFields": entries}
    changed = call.cluster.counted(call.resource, changed)
    if not call.dry("PatchOptions" if call.verb == "patch" else "UpdateOptions"):
        changed = call.cluster.store.put(call.resource, changed)
    return Answer(scale_of(changed))


def status(call: Call) -> Answer:
    """Read or write an object's status."""
    if call.verb == "get":
        return Answer(current(call))
    if call.verb == "update":
        return update(call)
    before = current(call)
    document = call.typed(patched(call, before), patched=True)
    return Answer(write(call, before, document, dry=call.dry("PatchOptions")))


def evict(call: Call) -> Answer:
    """Delete a pod where its disruption budget allows it; ApiError (429) where it does not."""
    document = Call(**{**vars(call), "resource": EVICTIONS}).typed(call.body())
    pod = current(call)
    if document.get("metadata", {}).get("name") != call.name:
        raise bad_request("name in URL does not match name in Eviction object")
    options = document.get("deleteOptions") or {}
    dry = call.dry("DeleteOptions", options.get("dryRun"))
    labelled = call.cluster.store.all(kinds.PDBS, call.namespace)
    name = pod["metadata"]["name"]
    budgets = [b for b in labelled if any(p["metadata"]["name"] == name for p in covered(call.cluster, b))]
    if len(budgets) > 1:
        raise internal(TWO_BUDGETS)
    if budgets and active(pod) and pod["status"].get("phase") != "Pending":
        _spend(call, budgets[0], pod, dry=dry)
    if not dry:
        _marked(call, current(call))
        call.cluster.delete(kinds.PODS, current(call), grace=options.get("gracePeriodSeconds"))
    return Answer(created(), 201)


def _spend(call: Call, budget: Json, pod: Json, *, dry: bool) -> None:
    """Count the disruption; raises ApiError (429) where the budget has none left."""
    state, name = budget["status"], budget["metadata"]["name"]
    healthy_enough = state["currentHealthy"] >= state["desiredHealthy"] > 0
    if not ready(pod) and (healthy_enough or _always(budget)):
        return
    if state.get("observedGeneration", 0) < budget["metadata"]["generation"]:
        raise _refused(f"The disruption budget {name} is still being processed by the server.", later=10)
    if state["disruptionsAllowed"] == 0:
        raise _refused(_why(name, state))
    if not dry:
        spent = {**state, "disruptionsAllowed": state["disruptionsAllowed"] - 1}
        spent["disruptedPods"] = {
            **state.get("disruptedPods", {}),
            pod["metadata"]["name"]: call.cluster.stamp(),
        }
        call.cluster.save(kinds.PDBS, {**budget, "status": spent})


def _why(name: str, state: Json) -> str:
    """What a budget that allows nothing says; before its controller has counted anew it knows no numbers."""
    healthy, desired = state["currentHealthy"], state["desiredHealthy"]
    if healthy <= desired:
        return f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    return f"The disruption budget {name} does not allow evicting pods currently"


def _marked(call: Call, pod: Json) -> None:
    """Say on the pod why it goes."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastTransitionTime": call.cluster.stamp(),
    }
    others = [c for c in pod["status"].get("conditions") or () if c["type"] != "DisruptionTarget"]
    call.cluster.save(kinds.PODS, {**pod, "status": {**pod["status"], "conditions": [*others, condition]}})


def _always(budget: Json) -> bool:
    return bool(budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow")


def _refused(message: str, *, later: int = 0) -> ApiError:
    causes = [{"reason": "DisruptionBudget", "message": message}]
    details: Json = {"causes": causes, **({"retryAfterSeconds": later} if later else {})}
    return ApiError(429, "TooManyRequests", VIOLATES, details, retry_after=later)
