"""Every call twice: at once, in a row, and after a deadline of the client's."""

import time

from contract import Failed
from machine import Background, wait_for
from pods import CREATED, EXITED, NOT_READY, RUNNING, Pod

UNKNOWN = "0123456789abcdef" * 4


def twice(machine, what, method, request, patience=60):
    """The call by two clients at once; both have to succeed. The answers."""
    first = Background(lambda: machine.cri(method, request, patience))
    second = Background(lambda: machine.cri(method, request, patience))
    ended = first.join() and second.join()
    machine.check(f"{what}: two at once end well", ended and not first.error and not second.error,
                  f"{first.error}; {second.error}")
    return first.answer, second.answer


def impatient(machine, random, method, request):
    """The call with deadlines that pass while it works, then once more with
    time; its answer."""
    for _ in range(3):
        try:
            machine.cri(method, request, random.uniform(0.001, 0.03))
        except Failed as error:
            if error.code not in ("DEADLINE_EXCEEDED", "CANCELLED"):
                raise
    return machine.cri(method, request)


def retries(machine, random, rounds):
    calls = 0
    for number in range(3 * rounds):
        hurried = number % 3 == 1
        foreign = "other" if number % 3 == 2 else ""
        pod = Pod(machine, ports=number % 2 == 0, handler=foreign)

        def again(what, method, request):
            if hurried:
                try:
                    answer = impatient(machine, random, method, request)
                except Failed as error:
                    return machine.check(f"{what}, after deadlines", False, error) or None
                machine.passed += 1
                return answer
            one, other = twice(machine, what, method, request)
            machine.check(f"{what}: both answers are the same", one == other, f"{one}; {other}")
            return one

        made = again("RunPodSandbox", "RunPodSandbox", pod.run_request())
        if not made:
            continue
        pod.id = made.pod_sandbox_id
        once = machine.does("RunPodSandbox in a row", "RunPodSandbox", pod.run_request())
        machine.check("RunPodSandbox in a row: the same pod", once and once.pod_sandbox_id == pod.id, once)
        mine = [one for one in machine.cri("ListPodSandbox").items if one.metadata.name == pod.config["metadata"]["name"]]
        machine.check("there is one such pod", len(mine) == 1, mine)

        asked = pod.create_request(script="trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
        made = again("CreateContainer", "CreateContainer", asked)
        if made:
            pod.containers["main"] = made.container_id
            once = machine.does("CreateContainer in a row", "CreateContainer", asked)
            machine.check("CreateContainer in a row: the same", once and once.container_id == made.container_id, once)
        mine = machine.cri("ListContainers", {"filter": {"pod_sandbox_id": pod.id}}).containers
        machine.check("there is one such container", len(mine) == 1, mine)
        machine.check("and it waits", pod.status().state == CREATED)

        main = {"container_id": pod.containers["main"]}
        starts = [Background(lambda: machine.cri("StartContainer", main, 60)) for _ in range(2)]
        ended = all(one.join() for one in starts)
        errors = [one.error for one in starts if one.error]
        # The later one joins, or finds it running; what it says then is true.
        machine.check("StartContainer twice", ended and len(errors) < 2
                      and all("it is running" in one.text for one in errors), errors)
        machine.refuses("StartContainer in a row says how it is", "it is running", "StartContainer", main)
        machine.check("it runs", pod.status().state == RUNNING)
        machine.check("and runs once", wait_for(lambda: pod.log() == ["ready"]), pod.log())

        again("UpdateContainerResources", "UpdateContainerResources", {**main, "linux": {"cpu_shares": 200}})
        again("ReopenContainerLog", "ReopenContainerLog", main)
        command = {**main, "cmd": ["/bin/busybox", "sh", "-c", "sleep 0.02; echo a"], "timeout": 30}
        for answer in twice(machine, "ExecSync", "ExecSync", command):
            machine.check("ExecSync: each has its own output", answer and answer.stdout == b"a\n", answer)
        again("StopContainer", "StopContainer", {**main, "timeout": 20})
        machine.does("StopContainer in a row", "StopContainer", {**main, "timeout": 20})
        status = pod.status()
        machine.check("the exit code is its own", (status.state, status.exit_code) == (EXITED, 3), status)
        machine.does("the next attempt is made beside it", "CreateContainer", pod.create_request(attempt=1))
        again("RemoveContainer", "RemoveContainer", main)
        machine.does("RemoveContainer in a row", "RemoveContainer", main)

        whole = {"pod_sandbox_id": pod.id}
        pod.begin("last")
        again("StopPodSandbox", "StopPodSandbox", whole)
        machine.does("StopPodSandbox in a row", "StopPodSandbox", whole)
        machine.check("the pod is not ready", pod.state() == NOT_READY)
        if number % 2:
            # The kubelet makes the next one before it removes this one.
            other = machine.does("the same pod's next attempt", "RunPodSandbox", pod.again().run_request())
            pod.id = other and other.pod_sandbox_id
            again("RemovePodSandbox", "RemovePodSandbox", whole)
            again("RemovePodSandbox, running", "RemovePodSandbox", {"pod_sandbox_id": pod.id})
        else:
            again("RemovePodSandbox", "RemovePodSandbox", whole)
            # Nor is the name of what is gone kept.
            other = machine.does("the same pod again", "RunPodSandbox", pod.run_request())
            pod.id = other and other.pod_sandbox_id
            again("RemovePodSandbox, running", "RemovePodSandbox", {"pod_sandbox_id": pod.id})
        machine.does("RemovePodSandbox in a row", "RemovePodSandbox", whole)
        machine.clean(f"all twice, {number}")

    # A pod whose client went away half-way, without another try.
    for _ in range(4 * rounds):
        pod = Pod(machine)
        try:
            machine.cri("RunPodSandbox", pod.run_request(), random.uniform(0.001, 0.2))
        except Failed:
            calls += 1
        # It is made to its end: then the kubelet finds it in the list and removes it.
        wait_for(lambda: not machine.running(), 60)
        for one in machine.cri("ListPodSandbox").items:
            machine.does("a pod that nobody waited for goes", "RemovePodSandbox", {"pod_sandbox_id": one.id})
    machine.clean("clients that went away")
    for method, request in (
        ("StopContainer", {"container_id": UNKNOWN}), ("RemoveContainer", {"container_id": UNKNOWN}),
        ("StopPodSandbox", {"pod_sandbox_id": UNKNOWN}), ("RemovePodSandbox", {"pod_sandbox_id": UNKNOWN}),
        ("RemoveImage", {"image": {"image": "nothing:1"}}),
    ):
        twice(machine, f"{method} of what is not there", method, request)
    for method in ("StartContainer", "ContainerStatus", "ExecSync", "UpdateContainerResources", "ReopenContainerLog",
                   "ContainerStats"):
        more = {"ExecSync": {"cmd": ["true"]}, "UpdateContainerResources": {"linux": {"cpu_shares": 5}}}.get(method, {})
        machine.refuses(f"{method} of what is not there", UNKNOWN, method, {"container_id": UNKNOWN, **more})
    for method in ("PodSandboxStatus", "PodSandboxStats", "CreateContainer"):
        more = {"config": Pod(machine).create_request()["config"]} if method == "CreateContainer" else {}
        machine.refuses(f"{method} of what is not there", UNKNOWN, method, {"pod_sandbox_id": UNKNOWN, **more})
    return f"{3 * rounds} pods, {calls} clients that went away"
