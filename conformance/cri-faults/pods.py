"""Requests as a kubelet makes them, and pods that are followed to their end."""

import itertools
import os
import time

from contract import Failed
from images import NAME
from machine import processes

IMAGE = f"{NAME}:busybox"
NUMBERS = itertools.count(1)
READY, NOT_READY = 0, 1
CREATED, RUNNING, EXITED = 0, 1, 2

# Says so much, waits for the word, says more and ends as it is told.
ENDER = ("echo here; while [ ! -e /word/now ]; do sleep 0.02; done; i=0; "
         "while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exit $CODE")


class Pod:
    """One pod's requests, by steps."""

    def __init__(self, machine, host_network=False, handler="", ports=False, **more):
        self.machine, self.handler = machine, handler
        self.number = next(NUMBERS)
        self.directory = f"{machine.state}/pods/{self.number}"
        os.makedirs(f"{self.directory}/word", exist_ok=True)
        self.config = {
            "metadata": {"name": f"pod-{self.number}", "uid": f"uid-{self.number}", "namespace": "faults", "attempt": 0},
            "log_directory": f"{self.directory}/logs",
            "linux": {"cgroup_parent": "", "security_context": {"namespace_options": {
                "network": "NODE" if host_network else "POD", "pid": "CONTAINER"}}},
            **more,
        }
        if ports:
            self.config["port_mappings"] = [{"container_port": 80, "host_port": 20000 + self.number}]
        self.id, self.containers = None, {}

    def again(self):
        """The same pod's next attempt."""
        self.config["metadata"]["attempt"] += 1
        self.id, self.containers = None, {}
        return self

    def run_request(self):
        return {"config": self.config, "runtime_handler": self.handler}

    def run(self, patience=120):
        self.id = self.machine.cri("RunPodSandbox", self.run_request(), patience).pod_sandbox_id
        return self

    def create_request(self, name="main", script="exec sleep 1000", code=0, attempt=0, image=IMAGE):
        return {"pod_sandbox_id": self.id, "sandbox_config": self.config, "config": {
            "metadata": {"name": name, "attempt": attempt}, "image": {"image": image},
            "command": ["/bin/busybox", "sh", "-c",
                        f": {self.number}-{name}; " + script.replace("$CODE", str(code))], "log_path": f"{name}_{attempt}.log",
            "mounts": [{"container_path": "/word", "host_path": f"{self.directory}/word", "readonly": True}],
            "linux": {"resources": {"memory_limit_in_bytes": 64 << 20, "cpu_shares": 100}}}}

    def create(self, name="main", **how):
        self.containers[name] = self.machine.cri("CreateContainer", self.create_request(name, **how)).container_id
        return self.containers[name]

    def begin(self, name="main", **how):
        """Creates and starts a container."""
        made = self.create(name, **how)
        self.machine.cri("StartContainer", {"container_id": made})
        return made

    def word(self):
        """What the enders wait for."""
        with open(f"{self.directory}/word/now", "w"):
            pass

    def log(self, name="main", attempt=0):
        try:
            with open(f"{self.directory}/logs/{name}_{attempt}.log") as file:
                return [line.rstrip("\n").split(" ", 3)[-1] for line in file]
        except OSError:
            return []

    def status(self, name="main"):
        return self.machine.cri("ContainerStatus", {"container_id": self.containers[name]}).status

    def state(self):
        return self.machine.cri("PodSandboxStatus", {"pod_sandbox_id": self.id}).status.state

    def process(self, name="main"):
        """The number of a container's first process, by its words."""
        mark = f": {self.number}-{name};"
        return next((pid for pid, line in processes().items() if mark in line), 0)

    def remove(self):
        """Stops and removes it, as a kubelet does: again while it fails."""
        end = time.monotonic() + 90
        for call in ("StopPodSandbox", "RemovePodSandbox"):
            while True:
                try:
                    self.machine.cri(call, {"pod_sandbox_id": self.id})
                    break
                except Failed as error:
                    if time.monotonic() > end:
                        self.machine.check(f"{call} of a pod succeeds at last", False, error)
                        return False
                    time.sleep(0.2)
        return True


def sweep(machine):
    """Removes all pods, and says of those that can't be."""
    good = True
    for pod in machine.cri("ListPodSandbox").items:
        one = Pod(machine)
        one.id = pod.id
        good &= one.remove()
    return good
