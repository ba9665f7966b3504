"""Many pods, many at once; memory and descriptors of the daemon afterwards."""

import threading
import time

from contract import Failed
from machine import wait_for
from pods import EXITED, Pod

AT_ONCE = 20


def churn(machine, random, rounds):
    pods = 40 if rounds == 1 else 50 * rounds

    def batch(count):
        """So many at once, each to its end; what went wrong."""
        wrong = []

        def one(code, kind):
            try:
                pod = Pod(machine, host_network=kind != 0).run()
                if kind != 2:
                    pod.begin(script=f"exit {code}")
                    if not wait_for(lambda: pod.status().state == EXITED) or pod.status().exit_code != code:
                        wrong.append(f"exit code of {pod.id}: {pod.status().exit_code} instead of {code}")
                pod.remove()
            except Failed as error:
                wrong.append(str(error))

        threads = [threading.Thread(target=one, args=(random.randrange(100), number % 4)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return wrong

    machine.check("a first batch", not (wrong := batch(AT_ONCE)), "\n".join(wrong[:5]))
    machine.clean("a first batch")
    before, memory, began = machine.descriptors(), machine.memory(), time.monotonic()
    for number in range(pods // AT_ONCE):
        wrong = batch(AT_ONCE)
        machine.check(f"batch {number}: every pod runs and goes", not wrong, "\n".join(wrong[:5]))
    took = time.monotonic() - began
    machine.clean(f"{pods} pods")
    wait_for(lambda: machine.descriptors() <= before, 15)
    machine.check("the daemon holds no more descriptors than before", machine.descriptors() <= before,
                  f"{machine.descriptors()}, {before} before")
    grown = machine.memory() - memory
    machine.check("its memory has not grown by more than 8 MiB", grown < 8, f"{grown:.1f} MiB on {memory:.1f}")
    return f"{pods} pods in {took:.0f} s; memory {memory:.1f} MiB and {grown:+.1f}; {machine.descriptors()} descriptors"
