"""CNI plugins that hang and lie, on the way up and on the way down."""

import os
import time

from contract import Failed
from machine import Background
from pods import NOT_READY, READY, Pod

SLOW = ["hang", "stubborn"]
# What a plugin does, and what the error has to say.
FAULTS = {
    "hang": r"plugin faulty.* within 4 s",
    "stubborn": r"plugin faulty.* within 4 s",
    "fail": r"plugin faulty.*no addresses today",
    "crash": r"plugin faulty.*(signal|11)",
    "garbage": r"plugin faulty",
    "flood": r"plugin faulty.*1048576",
    "not-an-address": r"plugin faulty.*10\.88\.0\.256",
    "no-such-interface": r"plugin faulty",
    "nothing": r"plugin faulty",
}
# An answer to DEL is not read.
MUTE = {"garbage", "not-an-address", "no-such-interface", "nothing"}


def network(machine, random, rounds):
    def faulty(command, fault=None):
        path = f"{machine.state}/faulty/{command}"
        if fault is None:
            return os.path.exists(path) and os.remove(path)
        with open(f"{path}.new", "w") as file:
            file.write(fault)
        return os.rename(f"{path}.new", path)

    slowest = 0
    # One that hangs takes its time: those are few.
    quick = [fault for fault in FAULTS if fault not in SLOW]
    order = [*SLOW, *quick * min(rounds, 5)] if rounds > 1 else [SLOW[0], *random.sample(quick, 4)]
    random.shuffle(order)
    for fault in order:
        pattern = FAULTS[fault]
        pod = Pod(machine, ports=True)
        faulty("ADD", fault)
        began = time.monotonic()
        machine.refuses(f"ADD, {fault}: the error names the plugin", pattern, "RunPodSandbox", pod.run_request(), 60)
        slowest = max(slowest, time.monotonic() - began)
        machine.clean(f"ADD, {fault}")
        faulty("ADD")
        if fault not in SLOW:
            # Neither the way up nor the way down is open: what is left is seen, and goes.
            faulty("ADD", fault)
            faulty("DEL", "fail")
            machine.refuses(f"ADD, {fault}, and DEL: the error names the plugin", pattern, "RunPodSandbox",
                            pod.run_request(), 60)
            seen = [one for one in machine.cri("ListPodSandbox").items if one.metadata.uid == f"uid-{pod.number}"]
            machine.check(f"ADD, {fault}, and DEL: a pod that is not ready is seen",
                          len(seen) == 1 and seen[0].state == NOT_READY, seen)
            faulty("ADD")
            faulty("DEL")
            for one in seen:
                machine.does(f"ADD, {fault}, and DEL: it goes", "RemovePodSandbox", {"pod_sandbox_id": one.id})
            machine.clean(f"ADD, {fault}, and DEL")
        pod.run()
        machine.check(f"ADD, {fault}: the pod stands when the plugin is well", pod.state() == READY)
        faulty("DEL", fault)
        asked = {"pod_sandbox_id": pod.id}
        if fault in MUTE:
            machine.does(f"DEL, {fault}: does no harm", "StopPodSandbox", asked)
        elif fault == "flood":
            machine.refuses(f"DEL, {fault}: the error names the plugin", pattern, "StopPodSandbox", asked)
        else:
            machine.refuses(f"DEL, {fault}: the error names the plugin", pattern, "StopPodSandbox", asked, 60)
            machine.refuses(f"DEL, {fault}: removing names it too", pattern, "RemovePodSandbox", asked, 60)
            machine.check(f"DEL, {fault}: the pod is there, and not ready", pod.state() == NOT_READY)
        faulty("DEL")
        machine.check(f"DEL, {fault}: the pod goes when the plugin is well", pod.remove())
        machine.clean(f"DEL, {fault}")
    # The daemon is killed while a plugin hangs; the pod that nobody has goes.
    pod = Pod(machine)
    faulty("ADD", "hang")
    call = Background(lambda: machine.cri("RunPodSandbox", pod.run_request(), 60))
    time.sleep(1)
    machine.kill()
    call.join()
    faulty("ADD")
    machine.start()
    machine.clean("a daemon killed while a plugin hangs")
    try:
        pod.run().remove()
    except Failed as error:
        machine.check("its pod can be had afterwards", False, error)
    return f"{len(order)} faults each way, the slowest answer after {slowest:.1f} s"
