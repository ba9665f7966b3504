"""SIGKILL of a pod's supervisor, of its guard, of the workers that make and
remove containers, and of a foreign runtime at its steps."""

import os
import signal
import threading
import time

from contract import Failed
from machine import Background, parent, processes, wait_for
from pods import ENDER, EXITED, NOT_READY, READY, RUNNING, Pod


def family(pod):
    """The supervisor of a pod, its guard, and its workers of now."""
    ours = sorted(pid for pid, line in processes().items() if "caisson-shim" in line and line.endswith(pod.id))
    first = [pid for pid in ours if parent(pid) not in ours]
    rest = [pid for pid in ours if pid not in first]
    return first[0], rest[0], rest[1:]


def kill(*pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Hunter(threading.Thread):
    """Kills processes that come about, each with a chance, after a moment."""

    def __init__(self, random, wanted):
        super().__init__(daemon=True)
        self.random, self.wanted, self.killed, self.over = random, wanted, 0, False
        self.start()

    def run(self):
        seen = set()
        while not self.over:
            for pid in self.wanted():
                if pid in seen:
                    continue
                seen.add(pid)
                time.sleep(self.random.uniform(0, 0.02))
                if self.random.random() < 0.7:
                    self.killed += 1
                    kill(pid)

    def end(self):
        self.over = True
        self.join()
        return self.killed


def is_dead(machine, what, pod, codes):
    """The pod has become not ready, its containers have ended, and both go."""
    machine.check(f"{what}: the pod is not ready", wait_for(lambda: pod.state() == NOT_READY), pod.state())
    for name in pod.containers:
        wait_for(lambda: pod.status(name).state == EXITED, 10)
        status = pod.status(name)
        machine.check(f"{what}: container {name} has ended, and how is known",
                      status.state == EXITED and status.exit_code in codes[name] and status.finished_at > 0, status)
    pod.remove()


def goes_on(machine, what, pod):
    """The pod works as before."""
    machine.check(f"{what}: the pod is ready", pod.state() == READY)
    answer = machine.does(f"{what}: a program runs", "ExecSync", {
        "container_id": pod.containers["main"], "cmd": ["/bin/busybox", "echo", "yes"], "timeout": 30})
    machine.check(f"{what}: and its output comes", answer and answer.stdout == b"yes\n", answer)


def calls(pod, ready):
    """Calls on a pod that has containers."""
    container = {"container_id": pod.containers["main"]}
    return {
        "CreateContainer": pod.create_request("second"),
        "StartContainer": {"container_id": ready},
        "StopContainer": {**container, "timeout": 3},
        "RemoveContainer": container,
        "ExecSync": {**container, "cmd": ["/bin/busybox", "sleep", "0.1"], "timeout": 20},
        "UpdateContainerResources": {**container, "linux": {"cpu_shares": 300}},
        "ReopenContainerLog": container,
        "StopPodSandbox": {"pod_sandbox_id": pod.id},
        "RemovePodSandbox": {"pod_sandbox_id": pod.id},
    }


def supervisors(machine, random, rounds):
    kills = 0
    for number in range(8 * rounds):
        victim = ("supervisor", "both", "guard", "guard first")[number % 4]
        pod = Pod(machine, host_network=number % 3 == 0, handler="other" if number % 5 == 1 else "").run()
        pod.begin()
        pod.begin("ender", script=ENDER, code=43)
        ended = pod.begin("ended", script="exit 21")
        machine.check("a container ends", wait_for(lambda: pod.status("ended").state == EXITED), ended)
        ready = pod.create("ready")
        supervisor, guard, _ = family(pod)
        method = random.choice([None, *calls(pod, ready)])
        what = f"{victim} killed, {method or 'at rest'}"
        call = None
        if method:
            asked = calls(pod, ready)[method]
            call = Background(lambda: machine.cri(method, asked, 60))
            time.sleep(random.uniform(0, 0.05))
        order = {"supervisor": [supervisor], "both": [supervisor, guard], "guard": [guard],
                 "guard first": [guard, supervisor]}[victim]
        for pid in order:
            kill(pid)
            kills += 1
            time.sleep(random.choice([0, 0.01]))
        machine.check(f"{what}: the call ends", not call or call.join(60))
        if random.random() < 0.3:
            machine.restart()
        try:
            if method in ("StopPodSandbox", "RemovePodSandbox"):
                machine.does_at_last(what, method, {"pod_sandbox_id": pod.id})
                machine.does_at_last(what, "RemovePodSandbox", {"pod_sandbox_id": pod.id})
            elif victim == "guard":
                if method not in ("StopContainer", "RemoveContainer"):
                    goes_on(machine, what, pod)
                pod.word()
                machine.check(f"{what}: an exit code is kept", wait_for(lambda: pod.status("ender").state == EXITED)
                              and pod.status("ender").exit_code == 43, pod.status("ender"))
                pod.remove()
            else:
                if method == "RemoveContainer":
                    machine.does_at_last(f"{what}: it can be repeated", method, asked)
                    del pod.containers["main"]
                is_dead(machine, what, pod, {"main": (137, 143), "ender": (137,), "ended": (21,), "ready": (137, 128)})
        except Failed as error:
            machine.check(what, False, error)
            pod.remove()
        machine.clean(what)
        again = machine.does(f"{what}: the next attempt starts", "RunPodSandbox", pod.again().run_request())
        if again:
            pod.id = again.pod_sandbox_id
            pod.remove()
        machine.clean(f"{what}, the next attempt")
    return f"{kills} kills"


def steps(machine, random, rounds):
    """Whoever makes, starts, enters and removes containers is killed at it."""
    killed = 0
    for number in range(8 * rounds):
        foreign = number % 2 == 0
        pod = Pod(machine, host_network=True, handler="other" if foreign else "").run()
        pod.begin()
        supervisor, guard, _ = family(pod)
        what = "runc killed" if foreign else "a worker killed"
        if foreign:
            def wanted():
                return [pid for pid, line in processes().items() if line.startswith(("/usr/sbin/runc", "runc "))]
        else:
            def wanted():
                return family(pod)[2]
        hunter = Hunter(random, wanted)
        attempt = 0
        for method in ("CreateContainer", "StartContainer", "ExecSync", "StopContainer", "RemoveContainer"):
            attempt += 1
            try:
                if method == "CreateContainer":
                    made = pod.create("second", attempt=attempt)
                elif "second" in pod.containers:
                    extra = {"ExecSync": {"cmd": ["/bin/busybox", "true"], "timeout": 20},
                             "StopContainer": {"timeout": 2}}.get(method, {})
                    machine.cri(method, {"container_id": made, **extra}, 150)
            except Failed as error:
                machine.check(f"{what}: {method} fails, and is not late", error.code != "DEADLINE_EXCEEDED", error)
        killed += hunter.end()
        for name in list(pod.containers):
            if name == "second":
                machine.does_at_last(f"{what}: the container goes at last", "RemoveContainer", {"container_id": made})
                del pod.containers[name]
        machine.check(f"{what}: the pod stands", pod.state() == READY)
        machine.check(f"{what}: its other container runs", pod.status().state == RUNNING, pod.status())
        try:
            pod.begin("third", script="exit 5")
            machine.check(f"{what}: the next container runs", wait_for(lambda: pod.status("third").state == EXITED)
                          and pod.status("third").exit_code == 5, pod.status("third"))
        except Failed as error:
            machine.check(f"{what}: the next container runs", False, error)
        pod.remove()
        machine.clean(what)
    return f"{killed} kills"
