"""The variations of a configuration that runtimes are compared on.

Each is a function that changes runc's default configuration, which runs the
probe; `scratch` is a host directory with things to mount.
"""

VARIATIONS = {}


def variation(name):
    def register(change):
        VARIATIONS[name] = change
        return change
    return register


def namespaces(config, drop=(), add=()):
    kept = [n for n in config["linux"]["namespaces"] if n["type"] not in drop]
    config["linux"]["namespaces"] = kept + list(add)


def mount(config, destination, options, source=None, kind="bind"):
    config["mounts"].append({"destination": destination, "type": kind,
                             "source": source or kind, "options": options})


def args(config, *words):
    config["process"]["args"] = list(words)


def errno(*names, value=None, **more):
    rule = {"names": list(names), "action": "SCMP_ACT_ERRNO", **more}
    if value is not None:
        rule["errnoRet"] = value
    return rule


def seccomp(config, *rules, **more):
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                                  "syscalls": list(rules), **more}


@variation("default")
def _(c, scratch): pass


@variation("writable root")
def _(c, scratch): c["root"]["readonly"] = False


@variation("host network")
def _(c, scratch): namespaces(c, drop=["network"])


@variation("host pid, ipc, uts")
def _(c, scratch):
    namespaces(c, drop=["pid", "ipc", "uts"])
    del c["hostname"]


@variation("no cgroup namespace")
def _(c, scratch): namespaces(c, drop=["cgroup"])


@variation("time namespace with offsets")
def _(c, scratch):
    namespaces(c, add=[{"type": "time"}])
    c["linux"]["timeOffsets"] = {"boottime": {"secs": 1000, "nanosecs": 0}, "monotonic": {"secs": 500, "nanosecs": 0}}


@variation("network namespace by path")
def _(c, scratch):
    namespaces(c, drop=["network"], add=[{"type": "network", "path": "/proc/self/ns/net"}])


@variation("user namespace")
def _(c, scratch):
    namespaces(c, add=[{"type": "user"}])
    for key in ("uidMappings", "gidMappings"):
        c["linux"][key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]


@variation("user namespace, two ranges, other user")
def _(c, scratch):
    namespaces(c, add=[{"type": "user"}])
    for key in ("uidMappings", "gidMappings"):
        c["linux"][key] = [{"containerID": 0, "hostID": 100000, "size": 1000},
                           {"containerID": 1000, "hostID": 300000, "size": 1000}]
    c["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 1001]}


@variation("bind mounts: ro, nosuid, noexec, nodev")
def _(c, scratch):
    mount(c, "/mnt/a", ["bind", "ro", "nosuid", "noexec", "nodev"], f"{scratch}/a")
    mount(c, "/mnt/b", ["bind", "rw"], f"{scratch}/b")


@variation("bind mounts: rbind, ro is not recursive")
def _(c, scratch): mount(c, "/mnt/a", ["rbind", "ro"], f"{scratch}/a")


@variation("bind mounts: rro is recursive")
def _(c, scratch): mount(c, "/mnt/a", ["rbind", "rro"], f"{scratch}/a")


@variation("bind mount of a file")
def _(c, scratch): mount(c, "/tmp/file", ["bind", "ro"], f"{scratch}/a/file")


@variation("bind mounts: propagation")
def _(c, scratch):
    mount(c, "/mnt/a", ["rbind", "rslave"], f"{scratch}/a")
    mount(c, "/mnt/b", ["bind", "shared"], f"{scratch}/b")


@variation("atime options")
def _(c, scratch):
    mount(c, "/mnt/a", ["noatime", "nodiratime"], kind="tmpfs")
    mount(c, "/mnt/b", ["strictatime"], kind="tmpfs")


@variation("tmpfs: size, mode, uid, inodes")
def _(c, scratch):
    mount(c, "/mnt/a", ["size=1m", "mode=750", "uid=7", "nr_inodes=100", "nosuid"], kind="tmpfs")


@variation("tmpfs: tmpcopyup")
def _(c, scratch): mount(c, "/mnt/b", ["tmpcopyup", "size=1m"], kind="tmpfs")


@variation("idmapped mount")
def _(c, scratch):
    mount(c, "/mnt/a", ["bind"], f"{scratch}/a")
    c["mounts"][-1]["uidMappings"] = c["mounts"][-1]["gidMappings"] = [
        {"containerID": 0, "hostID": 1234, "size": 1000}]


@variation("rootfs propagation: shared")
def _(c, scratch): c["linux"]["rootfsPropagation"] = "shared"


@variation("rootfs propagation: slave")
def _(c, scratch): c["linux"]["rootfsPropagation"] = "rslave"


@variation("no capabilities")
def _(c, scratch):
    c["process"]["capabilities"] = {}


@variation("capabilities: sets that differ, ambient")
def _(c, scratch):
    c["process"]["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}


@variation("capabilities of an ordinary user, ambient")
def _(c, scratch):
    caps = ["CAP_NET_RAW", "CAP_CHOWN"]
    c["process"]["capabilities"] = dict.fromkeys(("bounding", "permitted", "effective", "inheritable", "ambient"), caps)
    c["process"]["user"] = {"uid": 33, "gid": 33}


@variation("rlimits")
def _(c, scratch):
    c["process"]["rlimits"] = [{"type": f"RLIMIT_{n}", "soft": s, "hard": h} for n, s, h in (
        ("NOFILE", 100, 200), ("CORE", 0, 0), ("NPROC", 500, 600), ("STACK", 4 << 20, 8 << 20), ("FSIZE", 1 << 30, 1 << 30))]


@variation("masked and read-only paths")
def _(c, scratch):
    c["linux"]["maskedPaths"] = ["/mask-file", "/mask-dir", "/proc/kcore", "/no/such/path"]
    c["linux"]["readonlyPaths"] = ["/ro-dir", "/proc/sys", "/no/such/path"]
    c["root"]["readonly"] = False


@variation("no masked or read-only paths")
def _(c, scratch):
    c["linux"]["maskedPaths"] = c["linux"]["readonlyPaths"] = []


@variation("devices")
def _(c, scratch):
    c["linux"]["devices"] = [
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 7, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/deep/er/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o600}]
    c["linux"]["resources"]["devices"] = [{"allow": False, "access": "rwm"},
                                          {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "rwm"}]


@variation("user, groups, umask")
def _(c, scratch):
    c["process"]["user"] = {"uid": 1234, "gid": 5678, "additionalGids": [10, 20, 30], "umask": 0o77}


@variation("sysctl")
def _(c, scratch):
    c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "123", "fs.mqueue.msg_max": "9",
                            "net.ipv4.ping_group_range": "0 100"}


@variation("host name and domain name")
def _(c, scratch): c["hostname"], c["domainname"] = "box", "example.org"


@variation("environment and working directory")
def _(c, scratch):
    c["process"]["env"] = ["PATH=/bin", "A=1", "EMPTY=", "SPACED=a b", "A=2", "HOME=/elsewhere"]
    c["process"]["cwd"] = "/tmp"


@variation("working directory is made")
def _(c, scratch):
    c["process"]["cwd"] = "/new/working/directory"
    c["root"]["readonly"] = False


@variation("seccomp: errno")
def _(c, scratch): seccomp(c, errno("mkdir", "mkdirat", value=95))


@variation("seccomp: arguments")
def _(c, scratch):
    seccomp(c, errno("chmod", "fchmodat", value=1, args=[{"index": 1, "value": 0o700, "op": "SCMP_CMP_EQ"}]),
            errno("fchmodat", value=13, args=[{"index": 2, "value": 0o777, "valueTwo": 0o700, "op": "SCMP_CMP_MASKED_EQ"}]),
            errno("kill", value=1, args=[{"index": 1, "value": 0, "op": "SCMP_CMP_LE"}]))


@variation("seccomp: allow list, several architectures")
def _(c, scratch):
    seccomp(c, errno("mkdir", value=1), errno("no_such_call_at_all", value=1),
            architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])


@variation("seccomp without no_new_privileges")
def _(c, scratch):
    seccomp(c, errno("mkdir", value=1))
    c["process"]["noNewPrivileges"] = False


@variation("seccomp: killed process")
def _(c, scratch):
    seccomp(c, {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"})
    args(c, "/bin/hostname", "x")


@variation("oom_score_adj")
def _(c, scratch): c["process"]["oomScoreAdj"] = 500


@variation("cgroup limits")
def _(c, scratch):
    c["linux"]["resources"].update({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swappiness": 10},
        "pids": {"limit": 42}, "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"}})


@variation("cgroup limits: unlimited")
def _(c, scratch):
    c["linux"]["resources"].update({"memory": {"limit": -1}, "pids": {"limit": -1}})


@variation("cgroup path, absolute")
def _(c, scratch): c["linux"]["cgroupsPath"] = "/ID-parent/ID"


@variation("cgroup path, relative")
def _(c, scratch): c["linux"]["cgroupsPath"] = "ID"


@variation("personality")
def _(c, scratch): c["linux"]["personality"] = {"domain": "LINUX32"}


@variation("annotations are no configuration")
def _(c, scratch): c["annotations"] = {"org.example.key": "value", "": "empty"}


@variation("standard input is passed")
def _(c, scratch): args(c, "/bin/sh", "-c", "cat; exit 3")


@variation("exit code")
def _(c, scratch): c["process"]["env"].append("PROBE_EXIT=77")


@variation("death by SIGTERM")
def _(c, scratch):
    namespaces(c, drop=["pid"])
    args(c, "/bin/sh", "-c", "kill -TERM $$")


@variation("death by SIGKILL")
def _(c, scratch):
    namespaces(c, drop=["pid"])
    args(c, "/bin/sh", "-c", "kill -KILL $$")


@variation("orphans end with the container")
def _(c, scratch): args(c, "/bin/sh", "-c", "sleep 1000 & exit 5")


@variation("error: missing executable")
def _(c, scratch): args(c, "/no/such/program")


@variation("error: missing executable, searched in PATH")
def _(c, scratch): args(c, "no-such-program")


@variation("error: not executable")
def _(c, scratch): args(c, "/etc/plain")


@variation("error: executable is a directory")
def _(c, scratch): args(c, "/etc")


@variation("error: not a program")
def _(c, scratch): args(c, "/etc/garbage")


@variation("error: empty args")
def _(c, scratch): c["process"]["args"] = []


@variation("error: cwd is a file")
def _(c, scratch): c["process"]["cwd"] = "/etc/plain"


@variation("error: cwd is relative")
def _(c, scratch): c["process"]["cwd"] = "tmp"


@variation("error: missing mount source")
def _(c, scratch): mount(c, "/mnt/a", ["bind"], f"{scratch}/no-such")


@variation("error: missing rootfs")
def _(c, scratch): c["root"]["path"] = f"{scratch}/no-such"


@variation("error: unknown namespace type")
def _(c, scratch): namespaces(c, add=[{"type": "galaxy"}])


@variation("error: namespace path that is no namespace")
def _(c, scratch): namespaces(c, drop=["network"], add=[{"type": "network", "path": "/proc/self/status"}])


@variation("error: unknown capability is only dropped")
def _(c, scratch): c["process"]["capabilities"]["bounding"].append("CAP_NO_SUCH")


@variation("error: unknown rlimit")
def _(c, scratch): c["process"]["rlimits"] = [{"type": "RLIMIT_NO_SUCH", "soft": 1, "hard": 1}]


@variation("error: sysctl of the host")
def _(c, scratch): c["linux"]["sysctl"] = {"kernel.panic": "1"}


@variation("error: failing hook")
def _(c, scratch): c["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}


@variation("hooks write")
def _(c, scratch):
    c["hooks"] = {when: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > /dev/null; echo {when} >> {scratch}/hooks"]}]
                  for when in ("createRuntime", "prestart", "poststart", "poststop")}
