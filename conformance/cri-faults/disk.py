"""A full disk: clear errors, and all well again when there is room."""

import os
import random as numbers

from contract import Failed
from machine import Background, wait_for
from pods import EXITED, Pod

# What an error of a full disk says.
FULL = r"(?i)no space left|not enough space|is full"


class Ballast:
    """Fills the file system that holds the state."""

    def __init__(self, state):
        self.path, self.state = f"{state}/ballast", state

    def fill(self, leave=0):
        chunk = 64 << 20
        with open(self.path, "ab") as file:
            while chunk >= 4096:
                room = os.statvfs(self.state)
                if room.f_bavail * room.f_frsize < chunk + leave:
                    chunk //= 2
                    continue
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, chunk)
                except OSError:
                    chunk //= 2

    def drop(self):
        if os.path.exists(self.path):
            os.remove(self.path)


def disk(machine, random, rounds):
    ballast = Ballast(machine.state)
    tried = 0
    for number in range(rounds if rounds < 4 else 4):
        image = machine.registry.publish(f"large-{number}", 6 << 20, numbers.Random(number))
        standing = Pod(machine).run()
        standing.begin()
        talker = standing.begin("talker", script="i=0; while [ ! -e /word/now ]; do echo $i; i=$((i+1)); done; exit 9")
        waiting = Pod(machine, host_network=True).run()
        fresh = Pod(machine)
        try:
            ballast.fill(leave=random.choice([0, 64 << 10, 1 << 20]))
            machine.refuses("a pull on a full disk says so", FULL, "PullImage", {"image": {"image": image}})
            ballast.fill()
            for what, method, request in (
                ("a container on a full disk", "CreateContainer", waiting.create_request()),
                ("a pod on a full disk", "RunPodSandbox", fresh.run_request()),
            ):
                machine.refuses(f"{what} is refused in plain words", FULL, method, request)
                tried += 1
            machine.does("a status is told", "ContainerStatus", {"container_id": talker})
            answer = machine.does("a program runs", "ExecSync",
                                  {"container_id": standing.containers["main"], "cmd": ["/bin/busybox", "echo", "yes"],
                                   "timeout": 20})
            machine.check("and its output comes", answer and answer.stdout == b"yes\n", answer)
            machine.check("the daemon lives on a full disk", machine.alive())
            # It may be killed and started there, too, if the container that writes all
            # the time has left it the few pages that its database's index takes.
            stood = True
            if number % 2 == 0:
                machine.kill()
                stood = machine.start(unless=FULL) is not None
                if stood:
                    machine.does("a daemon that starts on a full disk answers", "ContainerStatus", {"container_id": talker})
                else:
                    machine.check("a daemon that can't start on a full disk says why", True)
            if stood:
                try:
                    machine.cri("StopContainer", {"container_id": standing.containers["main"], "timeout": 0})
                except Failed as error:
                    machine.check("stopping on a full disk fails for no other reason", "space" in error.text, error)
        finally:
            ballast.drop()
        if not machine.alive():
            machine.start()
        ready = Background(lambda: waiting.create_request() and waiting.begin())
        machine.check("when there is room, a container starts", ready.join() and not ready.error, ready.error)
        machine.does("a pod too", "RunPodSandbox", fresh.run_request())
        fresh.id = machine.cri("RunPodSandbox", fresh.run_request()).pod_sandbox_id
        machine.does("and a pull", "PullImage", {"image": {"image": image}})
        machine.does("whose image goes", "RemoveImage", {"image": {"image": image}})
        standing.word()
        machine.check("no exit code is lost", wait_for(lambda: standing.status("talker").state == EXITED)
                      and standing.status("talker").exit_code == 9, standing.status("talker"))
        status = standing.status()
        machine.check("nor that of what was stopped meanwhile", status.exit_code == 137 or status.state != EXITED, status)
        for pod in (standing, waiting, fresh):
            pod.remove()
        machine.clean("after a full disk")
    return f"{tried} calls refused"
