"""Compile seccomp profiles with libseccomp, the way runc calls it.

Reads lines of JSON. {"names": [...]} asks for numbers, answered with
{name: {arch: number}}; {"machine": ..., "seccomp": <linux.seccomp>} with
{"program": hex of sock_filter[]}.
"""

import errno
import json
import sys
import tempfile

import seccomp

ARCHES = {
    "SCMP_ARCH_X86_64": seccomp.Arch.X86_64,
    "SCMP_ARCH_X86": seccomp.Arch.X86,
    "SCMP_ARCH_X32": seccomp.Arch.X32,
    "SCMP_ARCH_AARCH64": seccomp.Arch.AARCH64,
    "SCMP_ARCH_ARM": seccomp.Arch.ARM,
    "SCMP_ARCH_RISCV64": seccomp.Arch.RISCV64,
}
OPERATORS = {
    "SCMP_CMP_NE": seccomp.NE,
    "SCMP_CMP_LT": seccomp.LT,
    "SCMP_CMP_LE": seccomp.LE,
    "SCMP_CMP_EQ": seccomp.EQ,
    "SCMP_CMP_GE": seccomp.GE,
    "SCMP_CMP_GT": seccomp.GT,
    "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}


def action(name: str, data: int | None) -> int:
    data = errno.EPERM if data is None else data
    return {
        "SCMP_ACT_KILL": 0,
        "SCMP_ACT_KILL_THREAD": 0,
        "SCMP_ACT_KILL_PROCESS": -0x80000000,  # the bindings want a C int
        "SCMP_ACT_TRAP": 0x00030000,
        "SCMP_ACT_ERRNO": 0x00050000 | data,
        "SCMP_ACT_TRACE": 0x7FF00000 | data,
        "SCMP_ACT_LOG": 0x7FFC0000,
        "SCMP_ACT_ALLOW": 0x7FFF0000,
        "SCMP_ACT_NOTIFY": 0x7FC00000,
    }[name]


def add(rules: seccomp.SyscallFilter, act: int, name: str, args: list) -> None:
    conditions = [
        seccomp.Arg(arg["index"], OPERATORS[arg["op"]], arg["value"], arg.get("valueTwo", 0))
        for arg in args
    ]
    indices = [arg["index"] for arg in args]
    if len(set(indices)) == len(indices):
        alternatives = [conditions]
    else:
        alternatives = [[condition] for condition in conditions]
    for alternative in alternatives:
        try:
            rules.add_rule(act, name, *alternative)
        except RuntimeError as error:
            # It refuses some rules that repeat another.
            if f"errno = -{errno.EEXIST}" not in str(error):
                raise


def compile_profile(machine: str, profile: dict) -> dict:
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    rules = seccomp.SyscallFilter(default)
    native = "SCMP_ARCH_" + machine
    if machine != "X86_64":
        rules.remove_arch(seccomp.Arch.NATIVE)
        rules.add_arch(ARCHES[native])
    for arch in profile.get("architectures", []):
        if arch != native:
            rules.add_arch(ARCHES[arch])
    for rule in profile.get("syscalls", []):
        act = action(rule["action"], rule.get("errnoRet"))
        for name in rule["names"]:
            if act != default and seccomp.resolve_syscall(seccomp.Arch.NATIVE, name) != -1:
                add(rules, act, name, rule.get("args", []))
    with tempfile.TemporaryFile() as out:
        rules.export_bpf(out)
        out.seek(0)
        return {"program": out.read().hex()}


def numbers(names: list) -> dict:
    def resolve(arch: str, name: str) -> int:
        return seccomp.resolve_syscall(ARCHES[arch], name)

    return {name: {arch: resolve(arch, name) for arch in ARCHES} for name in names}


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        if "names" in job:
            answer = numbers(job["names"])
        else:
            answer = compile_profile(job["machine"], job["seccomp"])
        print(json.dumps(answer), flush=True)


main()
