//! Profiles that don't compile, and parts that have no effect.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

mod support;

use caisson_runtime_spec::SeccompArch;
use caisson_seccomp::{Filter, FilterFlags, SeccompError, Warning};
use std::fmt::Write;

fn compile(json: &str) -> Result<Filter, SeccompError> {
    Filter::compile(&support::profile(json))
}

fn rule(text: &str) -> String {
    format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{text}]}}"#)
}

#[test]
fn bad_rules_are_named() {
    let notify = r#"{"names":["read"],"action":"SCMP_ACT_NOTIFY"}"#;
    let cases = [
        (rule(r#"{"names":[""],"action":"SCMP_ACT_LOG"}"#), SeccompError::EmptyName { rule: 0 }),
        (
            rule(
                r#"{"names":["read"],"action":"SCMP_ACT_LOG",
                "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}"#,
            ),
            SeccompError::ArgumentIndex { rule: 0, index: 6 },
        ),
        (
            rule(r#"{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":4096}"#),
            SeccompError::ErrnoRange { rule: 0, value: 4096 },
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#.to_owned(),
            SeccompError::DefaultErrnoRange { value: 5000 },
        ),
        (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#.to_owned(), SeccompError::NotifyByDefault),
        (
            rule(r#"{"names":["read","write"],"action":"SCMP_ACT_NOTIFY"}"#),
            SeccompError::NotifyWrite { rule: 0 },
        ),
        (rule(notify), SeccompError::NoListenerPath { rule: 0 }),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW",
                "flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#
                .to_owned(),
            SeccompError::WaitKillableWithoutNotify,
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(compile(&json).unwrap_err(), expected, "{json}");
    }
}

#[test]
fn too_many_conditions_don_t_fit() {
    let mut rules = String::new();
    for value in 0..2000 {
        let comma = if value == 0 { "" } else { "," };
        write!(
            rules,
            r#"{comma}{{"names":["ioctl"],"action":"SCMP_ACT_ERRNO","args":[
                {{"index":1,"value":{value},"op":"SCMP_CMP_GT"}},
                {{"index":2,"value":{value},"op":"SCMP_CMP_NE"}}]}}"#
        )
        .unwrap();
    }
    let error = compile(&rule(&rules)).unwrap_err();
    assert!(matches!(error, SeccompError::TooLong { instructions: 4097.. }), "{error}");
}

#[test]
fn repeated_names_and_conditions_don_t_eat_memory() {
    let many = |text: &str| vec![text; 30_000].join(",");
    for name in ["ioctl", "socket"] {
        let error = compile(&rule(&format!(
            r#"{{"names":[{}],"action":"SCMP_ACT_ERRNO","args":[{}]}}"#,
            many(&format!("\"{name}\"")),
            many(r#"{"index":1,"value":7,"op":"SCMP_CMP_NE"}"#),
        )))
        .unwrap_err();
        assert!(matches!(error, SeccompError::TooLong { .. }), "{error}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let filter = compile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_S390X"],
            "syscalls":[{"names":["read","no_such_call"],"action":"SCMP_ACT_LOG"}]}"#,
    )
    .unwrap();
    let expected = [
        Warning::ForeignArch(SeccompArch::S390X),
        Warning::UnknownSyscall("no_such_call".to_owned()),
    ];
    assert_eq!(filter.warnings(), expected);
}

#[test]
fn flags_are_runc_s() {
    let flags = |json: &str| {
        compile(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW"{json}}}"#)).unwrap().flags()
    };
    assert_eq!(flags(""), FilterFlags::SPEC_ALLOW);
    assert_eq!(flags(r#","flags":[]"#), FilterFlags::empty());
    assert_eq!(flags(r#","flags":["SECCOMP_FILTER_FLAG_TSYNC"]"#), FilterFlags::empty());
    assert_eq!(flags(r#","flags":["SECCOMP_FILTER_FLAG_LOG"]"#), FilterFlags::LOG);
    let notify =
        r#","listenerPath":"/x","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]"#;
    assert_eq!(flags(notify), FilterFlags::SPEC_ALLOW | FilterFlags::NEW_LISTENER);
}
