"""SIGKILL of the daemon, in the middle of whatever it does."""

import time

from contract import Failed
from machine import Background, wait_for
from pods import ENDER, EXITED, IMAGE, NOT_READY, RUNNING, Pod

# What a call may say that is made again after it was done.
DONE_ALREADY = {"StartContainer": "it is running"}


def operations(machine, random):
    """Each: what makes the state before it, and its call by name and request."""

    def ready(**how):
        return lambda: Pod(machine, **how).run()

    def created(**how):
        def make():
            pod = Pod(machine, **how).run()
            pod.create()
            return pod
        return make

    def started(script="exec sleep 1000", **how):
        def make():
            pod = Pod(machine, **how).run()
            pod.begin(script=script)
            if script.startswith("trap"):
                wait_for(lambda: pod.log() == ["ready"])
            return pod
        return make

    def container(**fields):
        return lambda pod: {"container_id": pod.containers["main"], **fields}

    def whole(pod):
        return {"pod_sandbox_id": pod.id}

    trap = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    limits = {"linux": {"memory_limit_in_bytes": 32 << 20, "cpu_shares": 512}}
    command = ["/bin/busybox", "sh", "-c", "sleep 0.05; echo done"]

    def image(_):
        return {"image": {"image": machine.registry.publish("killed", 3 << 20, random)}}

    return {
        "RunPodSandbox": (lambda: Pod(machine, ports=True), "RunPodSandbox", Pod.run_request),
        "RunPodSandbox, host": (lambda: Pod(machine, host_network=True), "RunPodSandbox", Pod.run_request),
        "CreateContainer": (ready(), "CreateContainer", Pod.create_request),
        "CreateContainer, runc": (ready(handler="other"), "CreateContainer", Pod.create_request),
        "StartContainer": (created(), "StartContainer", container()),
        "StartContainer, runc": (created(handler="other"), "StartContainer", container()),
        "StopContainer": (started(trap), "StopContainer", container(timeout=10)),
        "StopContainer, now": (started(), "StopContainer", container(timeout=0)),
        "RemoveContainer": (started(), "RemoveContainer", container()),
        "ExecSync": (started(), "ExecSync", container(cmd=command, timeout=20)),
        "UpdateContainerResources": (started(), "UpdateContainerResources", container(**limits)),
        "ReopenContainerLog": (started(), "ReopenContainerLog", container()),
        "StopPodSandbox": (started(ports=True), "StopPodSandbox", whole),
        "StopPodSandbox, runc": (started(handler="other"), "StopPodSandbox", whole),
        "RemovePodSandbox": (started(ports=True), "RemovePodSandbox", whole),
        "PullImage": (lambda: Pod(machine), "PullImage", image),
    }


def measure(machine, table):
    """How long each takes undisturbed."""
    took = {}
    for name, (prepare, method, request) in table.items():
        pod = prepare()
        began = time.monotonic()
        answer = machine.does(f"{name}, undisturbed", method, request(pod))
        took[name] = time.monotonic() - began
        settle(machine, name, pod, method, answer)
    return took


def settle(machine, name, pod, method, answer):
    """Looks at what the call made, and removes it."""
    if answer is None:
        pass
    elif method == "RunPodSandbox":
        pod.id = answer.pod_sandbox_id
    elif method == "CreateContainer":
        pod.containers["main"] = answer.container_id
        machine.does(f"{name}: what was made starts", "StartContainer", {"container_id": answer.container_id})
    elif method == "ExecSync":
        machine.check(f"{name}: the answer is whole", (answer.stdout, answer.exit_code) == (b"done\n", 0), answer)
    elif method == "PullImage":
        machine.does(f"{name}: the image goes", "RemoveImage", {"image": {"image": answer.image_ref}})
        machine.prune()
    elif method in ("StopContainer", "StartContainer", "UpdateContainerResources"):
        status, wanted = pod.status(), EXITED if method == "StopContainer" else RUNNING
        machine.check(f"{name}: the state is true", status.state == wanted, status)
        if "now" in name or method != "StopContainer":
            wanted = 137 if method == "StopContainer" else 0
        else:
            wanted = 7
        machine.check(f"{name}: so is the exit code", status.exit_code == wanted, status)
    if not pod.id:
        return
    if method == "StopPodSandbox" and answer is not None:
        machine.check(f"{name}: the pod is not ready", pod.state() == NOT_READY)
        status = pod.status()
        machine.check(f"{name}: its container's end is known",
                      status.state == EXITED and status.exit_code == 137 and status.finished_at > 0, status)
    pod.remove()


def once_more(machine, name, method, request):
    """The same call, as a kubelet repeats it."""
    try:
        return machine.does_quietly(method, request)
    except Failed as error:
        said = DONE_ALREADY.get(method)
        machine.check(f"{name}: the call can be repeated", said and said in error.text, error)
        return True if said and said in error.text else None


class Ender:
    """A container that ends while nobody watches."""

    def __init__(self, machine, random, **how):
        self.machine, self.code = machine, random.randrange(1, 120)
        self.pod = Pod(machine, host_network=True, **how).run()
        self.pod.begin(script=ENDER, code=self.code)
        self.pid = self.pod.process()

    def let_go(self):
        """Returns when it has ended; the time before and after, in ns."""
        began = time.time_ns()
        self.pod.word()
        ended = wait_for(lambda: not _lives(self.pid))
        self.machine.check("a container ends without a daemon", self.pid and ended, f"process {self.pid}")
        self.between = began - 1_000_000_000, time.time_ns() + 1_000_000_000

    def judge(self, what):
        machine = self.machine
        wait_for(lambda: self.pod.status().state == EXITED, 10)
        status = self.pod.status()
        machine.check(f"{what}: the exit code of what ended meanwhile",
                      (status.state, status.exit_code) == (EXITED, self.code), f"{status} instead of {self.code}")
        machine.check(f"{what}: when it ended", self.between[0] <= status.finished_at <= self.between[1],
                      f"{status.finished_at} is not in {self.between}")
        said = self.pod.log()
        machine.check(f"{what}: its log is whole", said == ["here"] + [f"line {i}" for i in range(300)],
                      f"{len(said)} lines: {said[:2]} … {said[-2:]}")
        self.pod.remove()


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def daemon(machine, random, rounds):
    """The part: the daemon is killed within every kind of call."""
    table = operations(machine, random)
    took = measure(machine, table)
    machine.clean("the operations, undisturbed")
    witness = Pod(machine).run()
    witness.begin(script="i=0; while :; do echo $i; i=$((i+1)); sleep 0.051; done")
    machine.remember()
    names, kills, in_time, slowest = list(table), 0, 0, 0
    random.shuffle(names)
    for number in range(20 * rounds):
        name = names[number % len(names)]
        prepare, method, request = table[name]
        ender = Ender(machine, random) if number % 4 == 0 else None
        pod = prepare()
        asked = request(pod)
        first = Background(lambda: machine.cri(method, asked))
        time.sleep(took[name] * random.uniform(0, 1.1))
        in_time += first.thread.is_alive()
        machine.kill()
        kills += 1
        first.join()
        if ender:
            ender.let_go()
        slowest = max(slowest, machine.start())
        answer = once_more(machine, name, method, asked)
        settle(machine, name, pod, method, answer)
        if ender:
            ender.judge(name)
        if pod.config and method == "RunPodSandbox":
            machine.does(f"{name}: the next attempt starts", "RunPodSandbox", pod.again().run_request())
            pod.id = machine.cri("RunPodSandbox", pod.run_request()).pod_sandbox_id
            pod.remove()
        machine.clean(f"{name}, killed")
        if len(machine.failures) > 30:
            break
    status = witness.status()
    machine.check("a container runs through all of it", status.state == RUNNING, status)
    said = witness.log()
    machine.check("its log has no hole", len(said) > 20 and said == [str(i) for i in range(len(said))],
                  f"{len(said)} lines")
    answer = machine.cri("ImageStatus", {"image": {"image": IMAGE}})
    machine.check("the image is still there", answer.image.id)
    witness.remove()
    return f"{kills} kills, {in_time} within the call; back within {slowest * 1000:.0f} ms"
