#!/usr/bin/env python3
"""Runs OCI runtime-tools' validation programs against runc and a runtime.

usage: run.py [--jobs N] [--timeout S] [--only GLOB] [--verbose] [--reference PATH] RUNTIME

Compares assertion by assertion: RUNTIME must pass each that the reference
(default: the newest runc installed by conformance/peers) passes on this
machine, except those of skip.tsv. Needs root. Exit status: 0 no regression,
1 regressions, 2 could not run.
"""

import argparse
import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache"
PEERS = CACHE / "peers" / "bin"
PROGRAMS = 58
# Serialised: these share one absolute and one relative cgroup path.
CGROUP_LOCK = threading.Lock()
TAP = re.compile(r"^(ok|not ok)\b\s*(\d+)?\s*(?:-\s*)?(.*)$")
VOLATILE = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\S*/ocitest\w*"), "<bundle>"),
    (re.compile(r"/proc/\d+"), "/proc/<pid>"),
    (re.compile(r"\b(pid:?\s*)\d+"), r"\1<n>"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b|\b\d{6,}\b"), "<n>"),
]


def build_suite() -> Path:
    """Builds programs, runtimetest and copies the rootfs tar; returns the directory."""
    text = (HERE.parent / "peers" / "versions.sh").read_text()
    pinned = re.search(r"RUNTIME_TOOLS_VERSION:=([^}]+)", text).group(1)
    version = os.environ.get("RUNTIME_TOOLS_VERSION", pinned)
    out = CACHE / "runtime-tools" / version
    if (out / "complete").exists():
        return out
    if not shutil.which("go"):
        sys.exit_reason("no Go toolchain: runtime-tools' programs can't be built")
    module = "github.com/opencontainers/runtime-tools"
    shutil.rmtree(out, ignore_errors=True)
    (out / "bin").mkdir(parents=True)
    env = dict(os.environ, CGO_ENABLED="0", GOFLAGS="-buildvcs=false")

    def go(*args):
        done = subprocess.run(["go", *args], cwd=out, env=env, capture_output=True, text=True)
        if done.returncode:
            sys.exit_reason(f"go {args[0]} failed: {done.stderr.strip()[-400:]}")
        return done.stdout

    print(f"building {module} {version}", flush=True)
    go("mod", "init", "suite")
    go("get", f"{module}/validation/...@{version}", f"{module}/cmd/runtimetest@{version}")
    go("build", "-trimpath", "-tags", "netgo,osusergo", "-ldflags", "-s -w", "-o", "bin/",
       f"{module}/validation/...", f"{module}/cmd/runtimetest")
    source = Path(go("list", "-m", "-f", "{{.Dir}}", module).strip())
    goarch = go("env", "GOARCH").strip()
    for tar in source.glob(f"rootfs-{goarch}.tar.gz"):
        shutil.copy(tar, out / "bin" / tar.name)
    (out / "complete").touch()
    return out


def sys_exit_reason(reason):
    print(f"runtime-tools: {reason}", file=sys.stderr)
    sys.exit(2)


sys.exit_reason = sys_exit_reason


def parse(stdout: str, status: str) -> dict:
    """Maps (assertion, occurrence) to passed; the exit is an assertion too."""
    seen, results = {}, {}
    for line in stdout.splitlines():
        match = TAP.match(line.strip())
        if not match:
            continue
        text = match.group(3).strip()
        for pattern, replacement in VOLATILE:
            text = pattern.sub(replacement, text)
        seen[text] = seen.get(text, 0) + 1
        skipped = "# SKIP" in line.upper()
        results[(text, seen[text])] = True if skipped else match.group(1) == "ok"
    results[("(program exits 0 in time)", 1)] = status == "exit 0"
    return results


def remove_leftovers(runtime: str, scratch: str):
    """Deletes containers that a program left, found by their bundle's place."""
    listed = subprocess.run([runtime, "list", "--format", "json"], capture_output=True, text=True)
    try:
        containers = json.loads(listed.stdout or "null") or []
    except ValueError:
        containers = []
    for container in containers:
        if str(container.get("bundle", "")).startswith(scratch):
            subprocess.run([runtime, "delete", "--force", container["id"]], capture_output=True, timeout=20)


def unmount_below(scratch: str):
    """Undoes mounts that a runtime left on the host: runc does, in linux_ns_itype."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([p for p in points if p.startswith(scratch + "/")]):
        subprocess.run(["umount", "--lazy", point], capture_output=True)


def remove_cgroups():
    """Removes the fixed cgroups of the linux_cgroups programs where empty."""
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        for name in ("testdir/cgrouptest/container", "testdir/cgrouptest", "testdir", "cgrouptest"):
            try:
                (hierarchy / name).rmdir()
            except OSError:
                pass  # not there, or still in use


def run_program(program: str, runtime: str, workdir: Path, timeout: float):
    scratch = tempfile.mkdtemp(prefix="runtime-tools-")
    env = dict(os.environ, RUNTIME=runtime, TMPDIR=scratch)
    with open(os.path.join(scratch, "out"), "w+b") as out, open(os.path.join(scratch, "err"), "w+b") as err:
        process = subprocess.Popen([f"./{program}"], cwd=workdir, env=env, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=err, start_new_session=True)
        try:
            code = process.wait(timeout)
            status = f"exit {code}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = f"no end after {timeout:g} s"
        out.seek(0), err.seek(0)
        stdout, stderr = (f.read().decode(errors="replace") for f in (out, err))
    try:
        remove_leftovers(runtime, scratch)
    except subprocess.TimeoutExpired:
        status += ", and a container that can't be deleted"
    unmount_below(scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    return parse(stdout, status), status, stdout, stderr


def regressions(reference: dict, ours: dict) -> list:
    """(assertion, how) for each that the reference passes and ours does not."""
    worse = []
    for key, passed in reference.items():
        if passed and not ours.get(key, False):
            name = key[0] + (f" [{key[1]}]" if key[1] > 1 else "")
            worse.append((name, "not ok" if key in ours else "missing"))
    return worse


def compare(program: str, options, workdir: Path) -> dict:
    lock = CGROUP_LOCK if program.startswith("linux_cgroups") else threading.Lock()
    with lock:
        # A regression has to show in each of three attempts: under load the
        # programs' own one-second polls and time-outs misfire.
        common, attempts = None, 0
        while attempts < 3:
            attempts += 1
            reference = run_program(program, options.reference, workdir, options.timeout)
            ours = run_program(program, options.runtime, workdir, options.timeout)
            worse = regressions(reference[0], ours[0])
            common = worse if common is None else [w for w in common if w[0] in {x[0] for x in worse}]
            if not common:
                break
    return {"program": program, "reference": reference, "ours": ours, "worse": common, "attempts": attempts}


def read_skips() -> dict:
    skips = {}
    for number, line in enumerate((HERE / "skip.tsv").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 3 or not all(f.strip() for f in fields):
            sys.exit_reason(f"skip.tsv:{number}: expected program, assertion and reason, tab-separated")
        skips[(fields[0], fields[1])] = fields[2]
    return skips


def counts(results: dict) -> str:
    ok = sum(results.values())
    return f"{ok}/{len(results) - ok}"


def main():
    default = str(PEERS / "runc") if (PEERS / "runc").exists() else shutil.which("runc")
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=3, help="programs at once; they mostly sleep")
    parser.add_argument("--timeout", type=float, default=40, help="seconds for one program")
    parser.add_argument("--only", default="*", help="glob of program names")
    parser.add_argument("--reference", default=default)
    parser.add_argument("--verbose", action="store_true", help="show output of programs with regressions")
    parser.add_argument("runtime")
    options = parser.parse_args()
    options.runtime = shutil.which(options.runtime) or sys.exit_reason(f"{options.runtime}: no such executable")
    options.runtime = os.path.abspath(options.runtime)
    if not options.reference:
        sys.exit_reason("no runc to compare with: run conformance/peers/install.sh")
    if os.geteuid():
        sys.exit_reason("needs root")
    skips = read_skips()
    workdir = build_suite() / "bin"
    programs = sorted(p.name for p in workdir.iterdir()
                      if p.name != "runtimetest" and not p.name.startswith("rootfs-"))
    if len(programs) != PROGRAMS:
        print(f"note: {len(programs)} programs, {PROGRAMS} expected")
    programs = [p for p in programs if fnmatch.fnmatch(p, options.only)]
    # The serialised group is the longest chain: start it first.
    programs.sort(key=lambda p: not p.startswith("linux_cgroups"))
    version = subprocess.run([options.reference, "--version"], capture_output=True, text=True).stdout
    print(f"reference: {options.reference} ({version.splitlines()[0] if version else 'unknown'})")
    print(f"runtime:   {options.runtime}")
    print("ok/not ok counts assertions; the program's exit status counts as one\n")
    print(f"{'program':<36} {'runc':>9} {'ours':>9}  verdict")
    began = time.monotonic()
    used, failed, total = set(), 0, [0, 0, 0, 0]
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda p: compare(p, options, workdir), programs):
            program = result["program"]
            reference, ours = result["reference"], result["ours"]
            left = []
            for name, how in result["worse"]:
                key = next((k for k in ((program, name), (program, "*")) if k in skips), None)
                if key:
                    used.add(key)
                else:
                    left.append((name, how))
            failed += len(left)
            skipped = len(result["worse"]) - len(left)
            verdict = f"FAIL {len(left)}" if left else "skip" if skipped else "as runc"
            better = regressions(ours[0], reference[0])
            if not left and better and not skipped:
                verdict = f"better by {len(better)}"
            if skipped:
                verdict += f" ({skipped} in skip.tsv)"
            if result["attempts"] > 1:
                verdict += f" after {result['attempts']} attempts"
            print(f"{program:<36} {counts(reference[0]):>9} {counts(ours[0]):>9}  {verdict}", flush=True)
            for name, how in left:
                print(f"    {how}: {name}")
            if left and options.verbose:
                print(f"    ours ended with {ours[1]}\n    stdout: {ours[2][-1500:]}\n    stderr: {ours[3][-1500:]}")
            for i, value in enumerate((sum(reference[0].values()), len(reference[0]),
                                       sum(ours[0].values()), len(ours[0]))):
                total[i] += value
    remove_cgroups()
    for key in sorted(set(skips) - used):
        if fnmatch.fnmatch(key[0], options.only):
            print(f"note: skip.tsv line not needed on this machine: {key[0]}: {key[1]}")
    print(f"\nrunc passes {total[0]} of {total[1]} assertions, ours {total[2]} of {total[3]}; "
          f"{len(programs)} programs, {len(used)} skip lines used, {time.monotonic() - began:.0f} s")
    print(f"{failed} regressions against runc" if failed else "no regression against runc")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
