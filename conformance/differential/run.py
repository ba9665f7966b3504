#!/usr/bin/env python3
"""Compares what runtimes make of the same bundles.

usage: run.py [--only GLOB] [--verbose] RUNTIME

Each variation (variations.py) is run with runc, crun and RUNTIME; inside, a
probe (probe.sh) prints what it finds, section by section. In each section,
and in the exit status, RUNTIME may print nothing that neither peer prints,
and has to print what both print, except where expected.tsv says why not. Exit status: 0 it does, 1 it does not, 2
could not run. Needs root and static busybox.
"""

import argparse
import copy
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from variations import VARIATIONS

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent.parent / ".cache" / "peers" / "bin"
ENTERED = "CAISSON_DIFFERENTIAL_ENTERED"
CGROUPS = Path("/sys/fs/cgroup")


def give_up(reason):
    print(f"differential: {reason}", file=sys.stderr)
    sys.exit(2)


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def enter():
    """Private mounts, and no hybrid cgroup layout, which crun refuses."""
    if os.geteuid():
        give_up("needs root")
    if ENTERED not in os.environ:
        os.environ[ENTERED] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--", sys.executable, *sys.argv])
    if not (CGROUPS / "unified" / "cgroup.procs").exists():
        return
    with tempfile.TemporaryDirectory() as aside:
        names = [d.name for d in CGROUPS.iterdir() if d.is_dir() and d.name != "unified" and not d.is_symlink()]
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", aside)
        for name in names:
            (Path(aside) / name).mkdir()
            mount("--bind", str(CGROUPS / name), f"{aside}/{name}")
        subprocess.run(["umount", "--lazy", "--recursive", str(CGROUPS)], check=True)
        mount("--move", aside, str(CGROUPS))


def prepare(scratch: Path):
    """The root file system, and host directories to mount."""
    rootfs = scratch / "rootfs"
    for name in ("bin", "dev", "etc", "mnt/a", "mnt/b", "proc", "sys", "tmp", "mask-dir", "ro-dir"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin/busybox")
    subprocess.run([rootfs / "bin/busybox", "--install", "-s", rootfs / "bin"], check=False)
    for link in (rootfs / "bin").iterdir():
        if link.is_symlink():
            link.unlink()
            link.symlink_to("busybox")
    shutil.copy(HERE / "probe.sh", rootfs / "probe.sh")
    (rootfs / "probe.sh").chmod(0o755)
    (rootfs / "etc/plain").write_text("plain\n")
    (rootfs / "etc/garbage").write_bytes(b"\x01\x02\x03\n")
    (rootfs / "etc/garbage").chmod(0o755)
    (rootfs / "mask-file").write_text("secret\n")
    (rootfs / "mask-dir/secret").write_text("secret\n")
    (rootfs / "mnt/b/file").write_text("below\n")
    for name in ("a", "b"):
        (scratch / name).mkdir()
        (scratch / name / "file").write_text(name)
    (scratch / "a/sub").mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(scratch / "a/sub"))
    for path in (scratch, rootfs, scratch / "a", scratch / "b"):
        path.chmod(0o755)


def normalise_mounts(text: str, masked: set) -> str:
    """What a container can tell of each mount, without what is only technique."""
    lines = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(kind) < 3 or fields[4].startswith("/sys/fs/cgroup/"):
            continue
        point, tags = fields[4], ",".join(re.sub(r":\d+", "", tag) for tag in fields[6:])
        if point in masked:
            # By /dev/null, a tmpfs or an empty directory; read-only or not.
            lines.append(f"{point} masked")
            continue
        flags = ",".join(sorted(o for o in fields[5].split(",") if o != "nosymfollow"))
        # Superblock options matter where the configuration asked for some.
        wanted = ("size", "mode", "uid", "nr_inodes") if point.startswith("/mnt") else ("size",) if point.startswith("/dev") else ()
        extra = ",".join(sorted(o for o in kind[2].split(",") if o.split("=")[0] in wanted))
        lines.append(f"{point} {flags} [{tags}] {kind[0]} {extra}".rstrip())
    return "\n".join(lines)


def normalise(section: str, text: str, scratch: Path, ident: str, host: dict, masked: set) -> str:
    text = text.replace(str(scratch), "<scratch>").replace(ident, "<id>")
    if section == "namespaces":
        return re.sub(r"(\w+):\[\d+\]", lambda m: f"{m[1]}: {'host' if host.get(m[1]) == m[0] else 'own'}", text)
    if section == "mounts":
        return normalise_mounts(text, masked)
    return text


def run(runtime: str, config: dict, scratch: Path, ident: str, host: dict) -> dict:
    """Sections by name; `exit` and `stderr` too."""
    bundle = scratch / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir()
    (scratch / "hooks").unlink(missing_ok=True)
    for made in ("new", "sc"):
        shutil.rmtree(scratch / "rootfs" / made, ignore_errors=True)
    text = json.dumps(config).replace("/ID-parent", f"/{ident}-parent").replace('"ID"', f'"{ident}"').replace("/ID\"", f'/{ident}"')
    (bundle / "config.json").write_text(text)
    root = scratch / "state"
    command = [runtime, "--root", str(root)]
    with open(scratch / "out", "w+b") as out, open(scratch / "err", "w+b") as err:
        process = subprocess.Popen([*command, "run", "--bundle", str(bundle), ident], stdin=subprocess.PIPE, stdout=out, stderr=err)
        try:
            process.communicate(b"from standard input\n", timeout=10)
            status = str(process.returncode)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            status = "no end"
        out.seek(0), err.seek(0)
        stdout, stderr = (f.read().decode(errors="replace") for f in (out, err))
    left = subprocess.run([*command, "delete", "--force", ident], capture_output=True, text=True, timeout=20)
    del left  # mostly there is nothing to delete any more
    result = {"exit": status}
    section = "output"
    collected = {}
    masked = set(config["linux"].get("maskedPaths", []))
    for line in stdout.splitlines():
        if line.startswith("== "):
            section = line[3:]
            continue
        collected.setdefault(section, []).append(line)
    for name, lines in collected.items():
        result[name] = normalise(name, "\n".join(lines), scratch, ident, host, masked)
    if (scratch / "hooks").exists():
        result["hooks"] = (scratch / "hooks").read_text()
    result["left cgroups"] = "\n".join(sorted({
        str(p.relative_to(CGROUPS)).split("/", 1)[1].replace(ident, "<id>") for p in CGROUPS.glob(f"*/{ident}")}))
    for directory in CGROUPS.glob(f"*/{ident}*"):
        try:
            directory.rmdir()
        except OSError:
            pass
    result["stderr"] = stderr
    return result


def disagreement(mine, others: list, drop: list) -> list:
    """Lines that neither peer has, and lines that all peers have and ours lacks."""
    if mine in others:
        return []
    keep = lambda text: {line for line in (text or "").splitlines() if not any(d.search(line) for d in drop)}
    ours, theirs = keep(mine), [keep(other) for other in others]
    extra = [f"ours only: {line}" for line in sorted(ours - set.union(*theirs))]
    return extra + [f"missing:   {line}" for line in sorted(set.intersection(*theirs) - ours)]


def read_expected() -> dict:
    expected = {}
    for number, line in enumerate((HERE / "expected.tsv").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 3 or not all(f.strip() for f in fields):
            give_up(f"expected.tsv:{number}: expected variation, section and reason, tab-separated")
        section, _, pattern = fields[1].partition(": ")
        expected[(fields[0], section, pattern)] = fields[2]
    return expected


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="*")
    parser.add_argument("--verbose", action="store_true", help="also show sections in which only the peers differ")
    parser.add_argument("runtime")
    options = parser.parse_args()
    ours = shutil.which(options.runtime) or give_up(f"{options.runtime}: no such executable")
    if not os.path.exists("/bin/busybox"):
        give_up("no static busybox: run conformance/peers/install.sh apt")
    enter()
    find = lambda name: str(PEERS / name) if (PEERS / name).exists() else shutil.which(name)
    peers = {name: find(name) for name in ("runc", "crun")}
    for name, path in peers.items():
        print(f"{name}: {path or 'not installed'}")
    peers = {name: path for name, path in peers.items() if path}
    if not peers:
        give_up("no peer to compare with: run conformance/peers/install.sh")
    runtimes = {**peers, "ours": os.path.abspath(ours)}
    print(f"ours: {runtimes['ours']}\n")
    expected, used, failed, same = read_expected(), set(), 0, 0
    host = {n: os.readlink(f"/proc/self/ns/{n}") for n in os.listdir("/proc/self/ns")}
    scratch = Path(tempfile.mkdtemp(prefix="caisson-differential-"))
    try:
        prepare(scratch)
        specs = scratch / "spec"
        specs.mkdir()
        subprocess.run([next(iter(peers.values())), "spec", "--bundle", str(specs)], check=True)
        default = json.loads((specs / "config.json").read_text())
        default["ociVersion"] = "1.0.2"
        default["process"].update({"terminal": False, "args": ["/probe.sh"]})
        default["root"] = {"path": str(scratch / "rootfs"), "readonly": True}
        print(f"{'variation':<48} {'exit: ' + ', '.join(runtimes):<24} verdict")
        for number, (name, change) in enumerate(VARIATIONS.items()):
            if not fnmatch.fnmatch(name, options.only):
                continue
            config = copy.deepcopy(default)
            change(config, scratch)
            results = {r: run(path, config, scratch, f"differential-{os.getpid()}-{number}", host)
                       for r, path in runtimes.items()}
            mine, lines, notes = results["ours"], [], []
            sections = sorted({s for r in results.values() for s in r} - {"stderr"})
            if mine["exit"] not in [results[p]["exit"] for p in peers] and len(mine) == 3:
                sections = ["exit"]  # it did not run: the rest says nothing more
            for section in sections:
                got = mine.get(section)
                others = [results[p].get(section) for p in peers]
                if not disagreement(got, others, []):
                    if options.verbose and len(set(others)) > 1:
                        notes.append(f"{section}: runc and crun differ")
                    continue
                keys = [k for k in expected if k[0] in (name, "*") and k[1] == section]
                drop = [re.compile(k[2]) for k in keys]
                left = disagreement(got, others, drop)
                if len(left) < len(disagreement(got, others, [])):
                    used.update(keys)
                    notes += [f"{section}: {expected[k]}" for k in keys if k[0] == name]
                if left:
                    lines += [f"  {section}: {line}" for line in left[:16]]
            codes = ", ".join(results[r]["exit"] for r in runtimes)
            verdict = "DIFFERS" if lines else "same"
            failed += bool(lines)
            same += not lines
            print(f"{name:<48} {codes:<24} {verdict}")
            for note in notes:
                print(f"    note: {note}")
            if lines:
                print("\n".join(lines))
                message = mine["stderr"].strip()
                if message:
                    print(f"    ours said: {message[-300:]}")
    finally:
        subprocess.run(["umount", "--lazy", str(scratch / "a/sub")], capture_output=True)
        shutil.rmtree(scratch, ignore_errors=True)
    for key in sorted(set(expected) - used):
        if options.only == "*":
            print(f"note: expected.tsv line not needed on this machine: {': '.join(key)}")
    print(f"\n{same} variations as runc or crun, or as expected; {failed} differ")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
