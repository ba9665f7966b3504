#!/usr/bin/env python3
"""Kills the caisson command at random moments and looks what is left.

campaign.py --caisson PATH --registry HOST:PORT --layouts DIR [--kills N] [--seed S]

Works in namespaces in which nothing else runs (run.sh makes them), so that
every mount, cgroup, process, link, address and rule that was not there before
is a leftover. One kill: an operation is started (pull, load, run, run -d, rm,
stop, rmi), and after a random part of the time that it takes it gets SIGKILL,
or a process that works for it does, such as the supervisor. Then a command
that changes things must collect what was left, `image verify` must find
nothing, and the same operation must succeed. Ends with a table; exit status 1
if anything was left or lost.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

PATIENCE = 10
NAME = "target"


def run(command, patience=120):
    """Runs a command; returns its exit status and what it said."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=patience, errors="replace")
    except subprocess.TimeoutExpired as late:
        return 124, f"not done after {patience} s: {(late.stdout or b'').decode(errors='replace')[-500:]}"
    return done.returncode, done.stdout


def processes():
    """Process numbers that are alive here, with their command lines."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if line:  # what has ended has none
                found[int(entry)] = line
    return found


def lines(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout.splitlines()


def census():
    """What a container could leave in the machine: a set of lines."""
    found = set()
    with open("/proc/self/mountinfo") as file:
        found |= {"mount " + " ".join(line.split()[3:]) for line in file}
    for here, directories, _ in os.walk("/sys/fs/cgroup"):
        found |= {f"cgroup {here}/{name}" for name in directories}
    found |= {f"process {pid} {line}" for pid, line in processes().items()}
    found |= {"link " + line.split(": ")[1].split("@")[0] for line in lines("ip", "-o", "link")}
    found |= {"address " + " ".join(line.split()[1:4]) for line in lines("ip", "-o", "address")}
    found |= {"netns " + line for line in lines("ip", "netns", "list")}
    # An element is a line of its own or shares one: the whole text is compared.
    rules = " ".join(line.strip() for line in lines("nft", "list", "ruleset"))
    found.add("nft " + re.sub(r"counter packets \d+ bytes \d+", "counter", rules))
    return found


class Campaign:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.image = f"{options.registry}/kill/nginx:1"
        self.busybox = "localhost/busybox:latest"
        self.root, self.run_root = os.environ["CAISSON_ROOT"], os.environ["CAISSON_RUN_ROOT"]
        self.layout = f"{options.layouts}/nginx"
        self.failures, self.table, self.duration = [], {}, {}
        sleeper = ["run", "-d", "--name", NAME, "-p", "8080:80", self.busybox, "sleep", "1000"]
        # Both are names of one image: with one left, nothing would be fetched;
        # what a killed pull had fetched is kept for a while for the next one.
        absent = [["rmi", "-f", self.image], ["rmi", "-f", "localhost/nginx:latest"],
                  ["image", "prune", "-f"]]
        # Each: what makes the state before it, and the command.
        self.operations = {
            "pull": (absent, ["pull", self.image]),
            "load": (absent, ["load", "-i", self.layout]),
            "rmi": ([*absent, ["pull", self.image]], ["rmi", "-f", self.image]),
            "run": ([["rm", "-f", NAME]],
                    ["run", "--rm", "--name", NAME, "-p", "8080:80", self.busybox, "sleep", "0.05"]),
            "run -d": ([["rm", "-f", NAME]], sleeper),
            "stop": ([["rm", "-f", NAME], sleeper], ["stop", "-t", "0", NAME]),
            "rm": ([["rm", "-f", NAME], sleeper], ["rm", "-f", NAME]),
        }
        self.weights = {"pull": 4, "load": 3, "rmi": 1, "run": 5, "run -d": 3, "stop": 1, "rm": 3}

    def caisson(self, *arguments):
        return run([self.options.caisson, *arguments])

    def must(self, what, *arguments):
        status, said = self.caisson(*arguments)
        if status:
            self.failures.append(f"{what}: caisson {' '.join(arguments)}: exit {status}: {said.strip()[-600:]}")
        return status == 0

    def prepare(self, name):
        for command in self.operations[name][0]:
            # Removing what is not there may fail; making may not.
            if command[0] in ("rm", "rmi"):
                self.caisson(*command)
            else:
                self.must(f"before {name}", *command)

    def tidy_up(self):
        """What a user does to have an empty machine: also collects leftovers."""
        # A container that was made before the kill is there by right.
        status, said = self.caisson("ps", "-aq")
        if status:
            self.failures.append(f"ps: exit {status}: {said.strip()[-400:]}")
        elif said.split():
            self.must("rm of what is there", "rm", "-f", *said.split())
        self.must("a run that collects", "run", "--rm", "--network", "none", self.busybox, "true")

    def state(self):
        """What is left of containers in caisson's own directories."""
        found = set()
        for top, names in ((self.run_root, ("pods", "native")), (self.root, ("containers",))):
            for name in names:
                if os.path.isdir(f"{top}/{name}"):
                    found |= {f"state {top}/{name}/{entry}" for entry in os.listdir(f"{top}/{name}")}
        try:
            with open(f"{self.root}/net/leases.json") as file:
                found |= {f"lease {one}" for one in json.load(file).get("taken", {}).items()}
        except OSError:
            pass
        return found

    def store(self):
        """Unfinished things in the image store, and all that it holds."""
        found = set()
        for name in ("content/ingest", "content/blobs/sha256", "snapshots"):
            if os.path.isdir(f"{self.root}/{name}"):
                found |= {f"{name}/{entry}" for entry in os.listdir(f"{self.root}/{name}")}
        return found

    def leftovers(self, before):
        """What there is beyond the baseline; waits for what is just ending."""
        end = time.monotonic() + PATIENCE
        while True:
            more = (census() - before) | self.state()
            if not more or time.monotonic() > end:
                return sorted(more)
            time.sleep(0.05)

    def victims(self, child, known):
        """Processes that work for the command, itself first."""
        others = [pid for pid, line in processes().items()
                  if pid not in known and pid != child and "caisson" in line.split(" ")[0]]
        return [child, *others]

    def calibrate(self):
        """How long each operation takes when it is left alone."""
        for name, (_, command) in self.operations.items():
            took = []
            for _ in range(3):
                self.prepare(name)
                began = time.monotonic()
                self.must(f"{name}, undisturbed", *command)
                took.append(time.monotonic() - began)
            self.duration[name] = min(took)
            self.table[name] = {"kills": 0, "in time": 0, "others": 0}
        self.tidy_up()

    def kill_one(self, number, before, known):
        name = self.random.choices(list(self.weights), list(self.weights.values()))[0]
        delay = self.random.uniform(0, 1) * self.duration[name]
        # Every fourth kill hits a process that works for the command.
        other = self.random.random() < 0.25
        self.prepare(name)
        command = [self.options.caisson, *self.operations[name][1]]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        time.sleep(delay)
        row = self.table[name]
        row["kills"] += 1
        row["in time"] += child.poll() is None
        victims = self.victims(child.pid, known | {os.getpid()})
        victim = self.random.choice(victims[1:]) if other and len(victims) > 1 else child.pid
        row["others"] += victim != child.pid
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.failures.append(f"{name}: the command hangs after its helper was killed")
            child.kill()
            child.wait()
        what = f"kill {number}: {name} after {delay * 1000:.1f} ms, {'a helper' if victim != child.pid else 'the command'}"
        count = len(self.failures)
        self.tidy_up()
        for line in self.leftovers(before):
            self.failures.append(f"left behind: {line}")
        self.must("image verify", "image", "verify")
        self.prepare(name)
        self.must("the same again", *self.operations[name][1])
        if len(self.failures) > count:
            print(f"FAIL  {what}")
            for line in self.failures[count:]:
                print("        " + line.replace("\n", "\n        ")[:1200])
        sys.stdout.flush()

    def go(self):
        options = self.options
        self.must("load busybox", "load", "-i", f"{options.layouts}/busybox")
        self.calibrate()
        if self.failures:
            print("\n".join(self.failures))
            print("kill-campaign: the operations do not even work undisturbed")
            return 1
        self.caisson("rmi", "-f", self.image, "localhost/nginx:latest")
        self.tidy_up()
        full = self.store()
        known = set(processes())
        before = census()
        print(f"kill-campaign: seed {options.seed}, {options.kills} kills; undisturbed: "
              + ", ".join(f"{name} {took * 1000:.0f} ms" for name, took in self.duration.items()))
        sys.stdout.flush()
        broken = 0
        for number in range(1, options.kills + 1):
            count = len(self.failures)
            self.kill_one(number, before, known)
            if len(self.failures) > count:
                broken += 1
                # Go on from here: what is left is told once.
                self.tidy_up()
                known, before = set(processes()), census()
                if broken >= 10:
                    print("kill-campaign: enough")
                    break
        self.tidy_up()
        self.caisson("rmi", "-f", self.image, "localhost/nginx:latest")
        self.caisson("image", "prune", "-f")
        self.must("image verify at the end", "image", "verify")
        for entry in sorted(self.store() - full):
            self.failures.append(f"left in the store: {entry}")
            print(f"FAIL  left in the store: {entry}")
        print(f"{'operation':12} {'kills':>6} {'in time':>8} {'helpers':>8}")
        for name, row in self.table.items():
            print(f"{name:12} {row['kills']:6} {row['in time']:8} {row['others']:8}")
        total = sum(row["kills"] for row in self.table.values())
        print(f"kill-campaign: {total} kills, {broken} with failures, {len(self.failures)} failures; seed {options.seed}")
        return 1 if self.failures else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--caisson", required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--layouts", required=True)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    sys.exit(Campaign(parser.parse_args()).go())


if __name__ == "__main__":
    main()
