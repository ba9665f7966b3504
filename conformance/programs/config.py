#!/usr/bin/env python3
"""Changes the config.json that `spec` wrote into that of a bundle of the suite.

config.py FILE SUITE MADE SCALE WORD...
    FILE is changed; the folders SUITE and MADE are shown at /suite and /made
"""

import json
import sys

path, suite, made, scale, *words = sys.argv[1:]
CAPABILITIES = [f"CAP_{name}" for name in (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE").split()]

with open(path) as file:
    config = json.load(file)
process = config["process"]
process["args"], process["terminal"], process["cwd"] = words, False, "/root"
process["env"] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
    "LC_ALL=C.UTF-8", "TZ=UTC", f"SCALE={scale}"]
process["capabilities"] = {
    name: CAPABILITIES for name in ("bounding", "effective", "permitted")}
process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}]
config["hostname"] = "programs"
config["root"] = {"path": "rootfs", "readonly": False}
for source, at in ((suite, "/suite"), (made, "/made")):
    config["mounts"].append(
        {"destination": at, "type": "bind", "source": source, "options": ["rbind", "ro"]})
with open(path, "w") as file:
    json.dump(config, file)
