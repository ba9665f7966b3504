//! coverage/seccomp.tsv against the types and the compiler.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

mod support;

use caisson_runtime_spec::{SeccompAction, SeccompArch, SeccompFlag, SeccompOperator};
use caisson_seccomp::{Filter, Machine, Warning};
use std::collections::BTreeMap;

/// `kind name` with its status.
fn ledger() -> BTreeMap<String, String> {
    let text = include_str!("../../../coverage/seccomp.tsv");
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [kind, name, status, reason] = cells[..] else { panic!("columns: {line}") };
        assert!(["compiled", "ignored"].contains(&status), "{line}");
        assert!(status == "compiled" || reason.len() > 10, "no reason: {line}");
        let before = rows.insert(format!("{kind} {name}"), status.to_owned());
        assert!(before.is_none(), "twice: {line}");
    }
    rows
}

/// Whether a profile with this text compiles, for some machine without a
/// complaint that something is ignored.
fn compiles(json: &str) -> bool {
    [Machine::X86_64, Machine::Aarch64, Machine::Riscv64].into_iter().any(|machine| {
        let filter = Filter::compile_for(&support::profile(json), machine).unwrap();
        !filter.warnings().iter().any(|warning| matches!(warning, Warning::ForeignArch(_)))
    })
}

#[test]
fn every_name_has_its_row() {
    let mut expected = BTreeMap::new();
    let mut expect = |kind: &str, name: &str, compiled: bool| {
        let status = if compiled { "compiled" } else { "ignored" };
        expected.insert(format!("{kind} {name}"), status.to_owned());
    };
    for action in SeccompAction::ALL {
        let rule = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[
            {{"names":["read"],"action":"{action}"}}]}}"#
        );
        expect("action", action.as_str(), compiles(&rule));
    }
    for operator in SeccompOperator::ALL {
        let rule = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["read"],
            "action":"SCMP_ACT_LOG","args":[{{"index":0,"value":1,"op":"{operator}"}}]}}]}}"#
        );
        expect("operator", operator.as_str(), compiles(&rule));
    }
    for arch in SeccompArch::ALL {
        let json = format!(r#"{{"defaultAction":"SCMP_ACT_LOG","architectures":["{arch}"]}}"#);
        expect("architecture", arch.as_str(), compiles(&json));
    }
    for flag in SeccompFlag::ALL {
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","flags":["{flag}"],
            "syscalls":[{{"names":["read"],"action":"SCMP_ACT_NOTIFY"}}]}}"#
        );
        let filter = Filter::compile_for(&support::profile(&json), Machine::X86_64).unwrap();
        expect("flag", flag.as_str(), filter.flags().bits() & flag.bit() != 0);
    }
    assert_eq!(ledger(), expected);
}
