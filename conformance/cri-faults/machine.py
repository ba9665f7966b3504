"""The daemon under test, what there is around it, and the list of checks."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from contract import Client, Failed

SOCKET = "/run/caisson-suite/cri.sock"
RUN = "/run/caisson-suite/state"
SETTLE = 30

CONFIG = """
[storage]
root = "{state}/root"
run_root = "{run}"
certs_dirs = ["/etc/caisson/certs.d"]
[network]
cni_conf_dirs = ["{state}/cni"]
cni_bin_dirs = ["{state}/plugins", "/usr/lib/cni"]
cni_plugin_timeout = 4
[serve]
pull_stall_timeout = 2
[runtime.handlers.other]
kind = "oci"
runtime_path = "/usr/sbin/runc"
"""

NETWORK = """{{
  "cniVersion": "1.0.0", "name": "faults",
  "plugins": [
    {{"type": "bridge", "bridge": "cni-faults", "isGateway": true, "ipMasq": true,
      "ipam": {{"type": "host-local", "dataDir": "{state}/leases",
                "ranges": [[{{"subnet": "10.88.0.0/16"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
    {{"type": "portmap", "capabilities": {{"portMappings": true}}}},
    {{"type": "faulty", "directory": "{state}/faulty"}}
  ]
}}
"""


def read(path, default=""):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return default


def processes():
    """Process numbers that are alive here, with their command lines."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            line = read(f"/proc/{entry}/cmdline").replace("\0", " ").strip()
            if line:  # what has ended has none
                found[int(entry)] = line
    return found


def parent(pid):
    stat = read(f"/proc/{pid}/stat")
    return int(stat.rpartition(")")[2].split()[1]) if stat else 0


def lines(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout.splitlines()


def wait_for(condition, patience=SETTLE):
    """Whether the condition came about in time."""
    end = time.monotonic() + patience
    pause = 0.005
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return True


class Machine:
    def __init__(self, caisson, state, seed):
        self.caisson, self.state, self.seed = caisson, state, seed
        self.passed, self.failures = 0, []
        self.process, self.cri, self.starts = None, None, 0
        # Not where the disk is filled: its last words matter.
        self.log = "/tmp/daemon.log"
        for name in ("cni", "plugins", "faulty", "leases", "pods", "outside"):
            os.makedirs(f"{state}/{name}", exist_ok=True)
        with open(f"{state}/config.toml", "w") as file:
            file.write(CONFIG.format(state=state, run=RUN))
        with open(f"{state}/cni/10-faults.conflist", "w") as file:
            file.write(NETWORK.format(state=state))

    # The daemon.

    def start(self, unless=None):
        """Starts the daemon and waits until it answers; how long that took, or None
        if it ended with words that match `unless`."""
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.caisson, "--config", f"{self.state}/config.toml", "serve", "--socket", SOCKET],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.state,
                env={**os.environ, "RUST_BACKTRACE": "1"})
        self.starts += 1

        # That somebody listens is not enough: a child that the killed daemon had not
        # yet let go holds its old socket for a moment.
        self.cri = Client(SOCKET)

        def answers():
            try:
                return self.process.poll() is not None or self.cri("Version", patience=10)
            except Failed:
                return False

        if not wait_for(answers, 60) or self.process.poll() is not None:
            self.cri.close()
            if unless and self.process.poll() is not None and re.search(unless, read(self.log).splitlines()[-1]):
                return None
            self.fatal("the daemon does not start")
        return time.monotonic() - began

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.cri.close()

    def restart(self):
        self.kill()
        return self.start()

    def stop(self):
        self.process.terminate()
        try:
            code = self.process.wait(SETTLE)
        except subprocess.TimeoutExpired:
            code = "none"
            self.kill()
        self.cri.close()
        self.check("the daemon ends when it is told to", code in (0, -signal.SIGTERM), f"exit status {code}")

    def running(self):
        """The operations that run now, with their steps."""
        info = self.cri("Status", {"verbose": True}).info
        return json.loads(info["config"])["operations"]

    def alive(self):
        return self.process.poll() is None

    def panics(self):
        return [line for line in read(self.log).splitlines() if "panicked" in line or line.startswith("             at ./crates")]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        """MiB of its own."""
        found = re.search(r"RssAnon:\s*(\d+)", read(f"/proc/{self.process.pid}/status"))
        return int(found[1]) / 1024 if found else 0

    def fatal(self, why):
        print(f"cri-faults: {why}; the end of its log:")
        print("\n".join(read(self.log).splitlines()[-30:]))
        sys.stdout.flush()
        sys.exit(2)

    # Checks.

    def check(self, what, good, why=""):
        if good:
            self.passed += 1
        else:
            self.failures.append(what)
            why = str(why).replace("\n", "\n        ")[:5000]
            print(f"FAIL  {what}: {why}")
            sys.stdout.flush()
        return bool(good)

    def does(self, what, method, fields=None, patience=120):
        """A call that has to succeed; its answer, or None."""
        try:
            answer = self.cri(method, fields, patience)
        except Failed as error:
            self.check(what, False, error)
            return None
        self.passed += 1
        return answer

    def does_quietly(self, method, fields=None, patience=120):
        """A call whose failure is the caller's to judge."""
        answer = self.cri(method, fields, patience)
        self.passed += 1
        return answer

    def does_at_last(self, what, method, fields=None):
        """A call that has to succeed when it is made again and again."""
        last = []

        def done():
            try:
                self.cri(method, fields)
                return True
            except Failed as error:
                last[:] = [error]
                return False

        return self.check(what, wait_for(done, 90), last)

    def refuses(self, what, pattern, method, fields=None, patience=120):
        """A call that has to fail, with words that match."""
        try:
            self.cri(method, fields, patience)
            return self.check(what, False, f"{method} succeeds")
        except Failed as error:
            return self.check(what, error.code != "DEADLINE_EXCEEDED" and re.search(pattern, error.text or "", re.S),
                              f"{error}; expected {pattern!r}")

    # What is left.

    def census(self):
        """A set of lines: all that a pod could leave in this machine."""
        found = {"mount " + " ".join(line.split()[3:]) for line in read("/proc/self/mountinfo").splitlines()}
        for here, directories, _ in os.walk("/sys/fs/cgroup"):
            found |= {f"cgroup {here}/{name}" for name in directories}
        found |= {"link " + line.split(": ")[1].split("@")[0] for line in lines("ip", "-o", "link")}
        found |= {"address " + " ".join(line.split()[1:4]) for line in lines("ip", "-o", "address")}
        found |= {"netns " + line for line in lines("ip", "netns", "list")}
        rules = [re.sub(r"counter packets \d+ bytes \d+", "counter", line.strip())
                 for line in lines("nft", "list", "ruleset")]
        found |= {f"rule {line}" for line in rules if line and line != "}"}
        found |= {f"lease {name}" for name in os.listdir(f"{self.state}/leases/faults")
                  if name[0].isdigit()} if os.path.isdir(f"{self.state}/leases/faults") else set()
        own = (os.getpid(), self.process.pid)
        for pid, line in processes().items():
            # What the witness waits by comes and goes.
            if pid not in own and parent(pid) != os.getpid() and line != "sleep 0.051":
                found.add(f"process {pid} {line}")
            try:
                descriptors = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue
            for fd in descriptors:
                try:
                    if (target := os.readlink(f"/proc/{pid}/fd/{fd}")).startswith("net:"):
                        found.add(f"network namespace {target} of {pid}")
                except OSError:
                    pass
        for root in (f"{self.state}/root", RUN, f"{self.state}/outside"):
            for here, directories, files in os.walk(root):
                if here.startswith(f"{self.state}/root/snapshots/"):
                    directories[:] = []
                    continue
                found |= {f"directory {here}/{name}" for name in directories}
                found |= {f"file {here}/{name}" for name in files if not name.startswith("meta.db-")}
        return found | self.rows()

    def rows(self):
        found = set()
        for name in ("meta.db", "nodes.db"):
            path = f"{self.state}/root/{name}"
            if not os.path.exists(path):
                continue
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as database:
                for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                    # What happened is kept, the last thousands of it.
                    if table in ("node_events", "sqlite_sequence"):
                        continue
                    for row in database.execute(f'select * from "{table}"'):
                        found.add(f"row {table} {str(row)[:200]}")
            database.close()
        return found

    def remember(self):
        """From here on, what is more is a leftover."""
        self.before = self.census()

    def explain(self, left):
        """The leftovers, of the cgroups one hierarchy's, and what the log says of them."""
        if not left:
            return []
        said = [line for line in left if not line.startswith("cgroup ") or "/memory/" in line][:20]
        ids = {found for line in left for found in re.findall("[0-9a-f]{64}", line)}
        told = [line for line in read(self.log).splitlines() if any(one in line for one in ids)]
        return said + [line[:300] for line in told[:6] + told[-6:]]

    def clean(self, what):
        """Checks that nothing is left; waits a little for what is just ending."""
        left = []

        def same():
            left[:] = sorted(self.census() - self.before)
            return not left

        if not self.check(f"{what}: nothing is left", wait_for(same, 15), "\n".join(self.explain(left))):
            self.remember()
            return False
        return True

    def drop_parents(self):
        """Removes cgroups that requests named as parents: those are their callers'.
        What a pod had in one stays, and is found."""
        for line in sorted(self.census() - self.before, reverse=True):
            path = line.removeprefix("cgroup /sys/fs/cgroup/").partition("/")[2]
            if not line.startswith("cgroup ") or path.startswith("caisson/") or re.search("/[0-9a-f]{64}(/|$)", path):
                continue
            try:
                os.rmdir(line.removeprefix("cgroup "))
            except OSError:
                pass

    def prune(self):
        """Lets go of what is kept for a pull to go on with."""
        command = [self.caisson, "--config", f"{self.state}/config.toml", "image", "prune", "-f"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        self.check("image prune", done.returncode == 0, done.stdout + done.stderr)

    def healthy(self, what):
        self.check(f"{what}: the daemon lives", self.alive(), "it has ended")
        self.check(f"{what}: it has not panicked", not self.panics(), "\n".join(self.panics()[:5]))


class Background:
    """A call on a thread of its own."""

    def __init__(self, work):
        self.answer, self.error = None, None

        def run():
            try:
                self.answer = work()
            except Failed as error:
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def join(self, patience=120):
        self.thread.join(patience)
        return not self.thread.is_alive()
