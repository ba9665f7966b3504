#!/usr/bin/env python3
"""Faults against a live daemon, part by part; see README.md of the suites.

campaign.py --caisson PATH --state DIR [--rounds N] [--seed S] [--parts NAME,...]

Works in namespaces in which nothing else runs (run.sh makes them), so that all
that was not there before is a leftover. Ends with `N passed, M failed`; exit
status 1 if anything failed.
"""

import argparse
import os
import random
import shutil
import sys
import time

import churn
import contract
import disk
import fuzz
import kills
import network
import pulls
import retries
import streams
import supervisors
from images import Registry
from machine import Machine
from pods import Pod, sweep

PARTS = [
    ("daemon", kills.daemon),
    ("supervisors", supervisors.supervisors),
    ("steps", supervisors.steps),
    ("network", network.network),
    ("registry", pulls.pulls),
    ("disk", disk.disk),
    ("retries", retries.retries),
    ("requests", fuzz.fuzz),
    ("frames", fuzz.frames),
    ("streams", streams.streams),
    ("churn", churn.churn),
]


def warm_up(machine):
    """What stays once a first pod was there: the bridge, portmap's chains."""
    machine.cri("PullImage", {"image": {"image": machine.registry.publish("busybox")}})
    for handler in ("", "other"):
        pod = Pod(machine, handler=handler, ports=True).run()
        pod.begin()
        pod.remove()
    machine.remember()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--caisson", required=True)
    parser.add_argument("--state", required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--parts", default="")
    options = parser.parse_args()
    contract.load(f"{options.state}/contract")
    machine = Machine(options.caisson, options.state, options.seed)
    machine.registry = Registry(f"{options.state}/busybox")
    shutil.copy(f"{os.path.dirname(os.path.abspath(__file__))}/faulty", f"{options.state}/plugins/faulty")
    print(f"cri-faults: seed {options.seed}, rounds {options.rounds}")
    sys.stdout.flush()
    machine.start()
    warm_up(machine)
    wanted = [name for name in options.parts.split(",") if name]
    for name, part in PARTS:
        if wanted and name not in wanted:
            continue
        began, passed, failed = time.monotonic(), machine.passed, len(machine.failures)
        # Each part has numbers of its own: one alone does what it does among all.
        said = part(machine, random.Random(f"{options.seed} {name}"), options.rounds)
        machine.healthy(name)
        if not machine.alive():
            machine.start()
        sweep(machine)
        machine.clean(f"after {name}")
        print(f"{name:12} {machine.passed - passed:6} passed {len(machine.failures) - failed:4} failed "
              f"{time.monotonic() - began:6.1f} s  {said}")
        sys.stdout.flush()
    machine.stop()
    machine.check("no panic in all of its log", not machine.panics(), "\n".join(machine.panics()[:5]))
    print(f"cri-faults: {machine.passed} passed, {len(machine.failures)} failed; seed {options.seed}")
    sys.exit(1 if machine.failures else 0)


if __name__ == "__main__":
    main()
