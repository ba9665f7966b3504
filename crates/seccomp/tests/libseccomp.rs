//! Our programs against those of libseccomp (Python bindings; Debian:
//! python3-seccomp), over call numbers and arguments.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

mod support;

use caisson_runtime_spec::{Seccomp, SeccompAction, SeccompOperator};
use caisson_seccomp::{Arch, Filter, Machine, SockFilter, X32_BIT, syscall_number};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use support::random::{Random, Shape, profile};
use support::{Call, interpreter, meaning};

const MACHINES: [(Machine, &str); 3] =
    [(Machine::X86_64, "X86_64"), (Machine::Aarch64, "AARCH64"), (Machine::Riscv64, "RISCV64")];

/// A Python process with libseccomp.
struct LibSeccomp {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl LibSeccomp {
    /// `None`, said aloud, if this machine lacks the bindings or is none of
    /// those that the script takes for native.
    fn start() -> Option<Self> {
        // The bindings belong to the distribution's Python, which need not be
        // the first in PATH.
        let python = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
            let found = Command::new(python).args(["-c", "import seccomp"]).output();
            cfg!(target_arch = "x86_64") && found.is_ok_and(|out| out.status.success())
        });
        let Some(python) = python else {
            // Past the test harness, which would keep it to itself.
            let said = b"NOT TESTED against libseccomp: needs x86_64 and python3-seccomp\n";
            std::io::stderr().write_all(said).unwrap();
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libseccomp.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input.as_mut().unwrap(), "{question}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("an answer")
    }

    /// Its program.
    fn compile(&mut self, seccomp: &Seccomp, machine: &str) -> Vec<SockFilter> {
        let answer = self.ask(&json!({"machine": machine, "seccomp": seccomp}));
        decode(answer["program"].as_str().unwrap())
    }

    /// Calls that its version doesn't know yet, on some ABI or on all.
    fn too_new(&mut self) -> Vec<&'static str> {
        let names = support::all_names();
        let theirs = self.ask(&json!({"names": names}));
        let mut too_new = names;
        too_new.retain(|name| {
            Arch::ALL.iter().any(|arch| {
                let number = &theirs[name][format!("SCMP_ARCH_{arch:?}").to_uppercase()];
                let theirs = u32::try_from(number.as_i64().unwrap()).ok();
                let ours = syscall_number(name, *arch);
                // Calls that x86 can multiplex resolve to the multiplexer.
                if *arch == Arch::X86 && matches!(theirs, Some(102 | 117)) {
                    return false;
                }
                assert!(
                    theirs.is_none() || theirs == ours,
                    "{name} on {arch:?} is {ours:?}, for libseccomp {theirs:?}"
                );
                theirs != ours
            })
        });
        too_new
    }
}

/// Takes names out of a profile.
fn without(mut seccomp: Seccomp, names: &[&str]) -> Seccomp {
    for rule in &mut seccomp.syscalls {
        rule.names.retain(|name| !names.contains(&name.as_str()));
    }
    seccomp
}

impl Drop for LibSeccomp {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}

/// libseccomp 2.5 merges the conditions of a call's rules into one tree. Where
/// rules overlap and their actions differ, the tree's order decides; where they
/// compare one argument by order, some trees even accept calls that no rule
/// matches. So calls keep one rule with conditions, or several that each
/// compare for equality.
fn keep_to_what_libseccomp_gets_right(seccomp: &mut Seccomp) {
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    let plain: Vec<String> = seccomp
        .syscalls
        .iter()
        .filter(|rule| rule.args.is_empty())
        .flat_map(|rule| rule.names.clone())
        .collect();
    for rule in seccomp.syscalls.iter_mut().filter(|rule| !rule.args.is_empty()) {
        rule.errno_ret = Some(13);
        let index = rule.args[0].index;
        let repeated = rule.args.iter().skip(1).any(|arg| arg.index == index);
        if repeated || rule.args.len() > 2 {
            rule.args.retain(|arg| arg.op == SeccompOperator::EqualTo);
        }
        let equality = matches!(&rule.args[..], [arg] if arg.op == SeccompOperator::EqualTo);
        rule.names.sort();
        rule.names.dedup();
        // Rules for socket calls are conditions on socketcall.
        rule.names.retain(|name| name != "socketcall" && name != "ipc");
        rule.names.retain(|name| !meaning::is_multiplexed(name) || !plain.contains(name));
        rule.names.retain(|name| match seen.get(name) {
            Some(others) => *others && equality,
            None => true,
        });
        seen.extend(rule.names.iter().map(|name| (name.clone(), equality)));
    }
}

fn decode(hex: &str) -> Vec<SockFilter> {
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    bytes
        .chunks_exact(8)
        .map(|b| SockFilter {
            code: u16::from_le_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        })
        .collect()
}

fn check(theirs: &[SockFilter], seccomp: &Seccomp, machine: Machine, random: &mut Random) -> usize {
    let filter = Filter::compile_for(seccomp, machine).unwrap();
    let mut compared = 0;
    let mut compare = |call: Call| {
        let expected = if meaning::is_newer(seccomp, machine, &call) {
            meaning::ENOSYS
        } else {
            interpreter::run(theirs, &call)
        };
        let got = interpreter::run(filter.program(), &call);
        compared += 1;
        assert_eq!(
            got,
            expected,
            "{call:x?}: got {got:#x}, libseccomp {expected:#x}, for {}",
            serde_json::to_string(seccomp).unwrap()
        );
    };
    let values = support::interesting_values(seccomp);
    for arch in support::audit_arches(machine) {
        for number in support::numbers() {
            compare(Call { arch, number, args: [0; 6] });
            compare(Call { arch, number, args: std::array::from_fn(|_| random.pick(&values)) });
        }
    }
    for (arch, number) in support::inspected(seccomp, machine) {
        for _ in 0..60 {
            let args = std::array::from_fn(|_| random.pick(&values));
            compare(Call { arch, number, args });
        }
    }
    compared
}

#[test]
fn docker_default() {
    let Some(mut libseccomp) = LibSeccomp::start() else { return };
    let mut random = Random(0x5eed_1001);
    let (machine, name) = MACHINES[0];
    let too_new = libseccomp.too_new();
    println!("left out, as libseccomp is older: {too_new:?}");
    let seccomp = without(support::docker_default(), &too_new);
    let theirs = libseccomp.compile(&seccomp, name);
    let compared = check(&theirs, &seccomp, machine, &mut random);
    println!("docker-default: {compared} calls, libseccomp needs {} instructions", theirs.len());
}

#[test]
fn random_profiles() {
    let Some(mut libseccomp) = LibSeccomp::start() else { return };
    let mut random = Random(0x5eed_1002);
    let too_new = libseccomp.too_new();
    let mut compared = 0;
    for round in 0..300 {
        let conditional_action =
            Some(random.pick(&[SeccompAction::Allow, SeccompAction::Errno, SeccompAction::Log]));
        let rules = if round % 10 == 0 { 40 } else { 6 };
        let shape = Shape { rules, names: 8, conditional_action };
        let (machine, name) = MACHINES[round % MACHINES.len()];
        // A rule for a call that an ABI lacks can lead its list of calls; then
        // libseccomp 2.5 forgets to load the number. The profile of Docker has
        // such rules where they do no harm, and is compared above.
        let absent: Vec<&str> = support::all_names()
            .into_iter()
            .filter(|name| {
                machine.arches().iter().any(|arch| syscall_number(name, *arch).is_none())
                    && !meaning::is_multiplexed(name)
            })
            .collect();
        let seccomp = without(profile(&mut random, machine, shape), &too_new);
        let mut seccomp = without(seccomp, &absent);
        keep_to_what_libseccomp_gets_right(&mut seccomp);
        let theirs = libseccomp.compile(&seccomp, name);
        compared += check(&theirs, &seccomp, machine, &mut random);
    }
    println!("random profiles: {compared} calls");
}

#[test]
fn x32_is_rejected_unless_listed() {
    let Some(mut libseccomp) = LibSeccomp::start() else { return };
    let base = r#""defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ERRNO"}]"#;
    for (arches, expected) in [("", 0), (r#""SCMP_ARCH_X32""#, 0x5_0001)] {
        let seccomp = support::profile(&format!(r#"{{"architectures":[{arches}],{base}}}"#));
        let theirs = libseccomp.compile(&seccomp, "X86_64");
        let ours = Filter::compile_for(&seccomp, Machine::X86_64).unwrap();
        let call = Call { arch: 0xc000_003e, number: 39 | X32_BIT, args: [0; 6] };
        assert_eq!(interpreter::run(&theirs, &call), expected);
        assert_eq!(interpreter::run(ours.program(), &call), expected);
    }
}
