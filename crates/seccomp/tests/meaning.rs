//! Compiled programs against the meaning of their profiles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

mod support;

use caisson_runtime_spec::Seccomp;
use caisson_seccomp::{Filter, Machine, SockFilter};
use support::random::{Random, Shape, profile};
use support::{Call, interpreter, meaning};

const MACHINES: [Machine; 3] = [Machine::X86_64, Machine::Aarch64, Machine::Riscv64];

fn check(seccomp: &Seccomp, machine: Machine, random: &mut Random) -> Vec<SockFilter> {
    let filter = Filter::compile_for(seccomp, machine).unwrap();
    let program = filter.program().to_vec();
    interpreter::verify(&program);
    let compare = |call: Call| {
        let expected = meaning::evaluate(seccomp, machine, &call);
        let got = interpreter::run(&program, &call);
        assert_eq!(
            got,
            expected,
            "{call:x?}: got {got:#x}, not {expected:#x}, for {}",
            serde_json::to_string(seccomp).unwrap()
        );
    };
    let values = support::interesting_values(seccomp);
    for arch in support::audit_arches(machine) {
        for number in support::numbers() {
            compare(Call { arch, number, args: [0; 6] });
        }
    }
    for (arch, number) in support::inspected(seccomp, machine) {
        for _ in 0..40 {
            let args = std::array::from_fn(|_| random.pick(&values));
            compare(Call { arch, number, args });
        }
    }
    program
}

#[test]
fn small_random_profiles() {
    let mut random = Random(0x5eed_0001);
    for round in 0..150 {
        let shape = Shape { rules: 6, names: 8, conditional_action: None };
        let machine = MACHINES[round % MACHINES.len()];
        let seccomp = profile(&mut random, machine, shape);
        check(&seccomp, machine, &mut random);
    }
}

#[test]
fn large_random_profiles_need_long_jumps() {
    let mut random = Random(0x5eed_0002);
    let mut long_jumps = 0;
    for round in 0..12 {
        let shape = Shape { rules: 60, names: 12, conditional_action: None };
        let machine = MACHINES[round % MACHINES.len()];
        let seccomp = profile(&mut random, machine, shape);
        let program = check(&seccomp, machine, &mut random);
        long_jumps += program.iter().filter(|instruction| instruction.code == 0x05).count();
    }
    assert!(long_jumps > 0);
}

#[test]
fn docker_default() {
    let mut random = Random(0x5eed_0003);
    let seccomp = support::docker_default();
    for machine in MACHINES {
        let program = check(&seccomp, machine, &mut random);
        println!("docker-default on {machine:?}: {} instructions", program.len());
        assert!(program.len() < 700);
    }
}

#[test]
fn every_operator_at_its_edges() {
    let mut random = Random(0x5eed_0004);
    for op in caisson_runtime_spec::SeccompOperator::ALL {
        for value in [0, 1, 0xffff_ffff, 1_u64 << 32, (7 << 32) | 7, u64::MAX] {
            for value_two in [0, 7, 7_u64 << 32] {
                let json = format!(
                    r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"],
                    "syscalls":[{{"names":["read","prctl"],"action":"SCMP_ACT_ERRNO","errnoRet":7,
                    "args":[{{"index":2,"value":{value},"valueTwo":{value_two},"op":"{op}"}}]}}]}}"#
                );
                check(&support::profile(&json), Machine::X86_64, &mut random);
            }
        }
    }
}

#[test]
fn lists_of_values_with_different_high_halves() {
    let mut random = Random(0x5eed_0005);
    for _ in 0..60 {
        let values = [0, 1, 2, 1 << 32, (1 << 32) | 1, (1 << 32) | 2, u64::MAX, 0xffff_ffff];
        let rules: Vec<String> = (0..6)
            .map(|_| {
                let (value, index) = (random.pick(&values), random.pick(&[1, 1, 1, 3]));
                let errno = random.pick(&[5, 5, 5, 6]);
                format!(
                    r#"{{"names":["ioctl"],"action":"SCMP_ACT_ERRNO","errnoRet":{errno},
                    "args":[{{"index":{index},"value":{value},"op":"SCMP_CMP_EQ"}}]}}"#
                )
            })
            .collect();
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
            "syscalls":[{}]}}"#,
            rules.join(",")
        );
        check(&support::profile(&json), Machine::X86_64, &mut random);
    }
}
