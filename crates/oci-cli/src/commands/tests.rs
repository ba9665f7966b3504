//! Tests over all commands and their flags.

use std::ffi::OsString;

use super::{ALL, find};
use crate::flags::{Flag, FlagsEnd, Kind, Parsed, parse};
use crate::runtime::GLOBAL_FLAGS;

fn parsed<'f>(flags: &'f [Flag], args: &[String], end: FlagsEnd) -> Result<Parsed<'f>, String> {
    parse(flags, &mut args.iter().map(OsString::from), end).map_err(|e| e.to_string())
}

/// Flags of runc 1.5 that its callers use, by command.
const RUNC: &[(&str, &[&str])] = &[
    (
        "create",
        &[
            "bundle",
            "b",
            "console-socket",
            "pidfd-socket",
            "pid-file",
            "no-pivot",
            "no-new-keyring",
            "preserve-fds",
        ],
    ),
    (
        "run",
        &[
            "bundle",
            "b",
            "console-socket",
            "pidfd-socket",
            "detach",
            "d",
            "keep",
            "pid-file",
            "no-subreaper",
            "no-pivot",
            "no-new-keyring",
            "preserve-fds",
        ],
    ),
    (
        "exec",
        &[
            "console-socket",
            "pidfd-socket",
            "cwd",
            "env",
            "e",
            "tty",
            "t",
            "user",
            "u",
            "additional-gids",
            "g",
            "process",
            "p",
            "detach",
            "d",
            "pid-file",
            "process-label",
            "apparmor",
            "no-new-privs",
            "cap",
            "c",
            "preserve-fds",
            "cgroup",
            "ignore-paused",
        ],
    ),
    ("kill", &["all", "a"]),
    ("delete", &["force", "f"]),
    ("list", &["format", "f", "quiet", "q"]),
    ("ps", &["format", "f"]),
    ("events", &["interval", "stats"]),
    ("spec", &["bundle", "b", "rootless"]),
    (
        "update",
        &[
            "resources",
            "r",
            "blkio-weight",
            "cpu-period",
            "cpu-quota",
            "cpu-burst",
            "cpu-share",
            "cpu-rt-period",
            "cpu-rt-runtime",
            "cpuset-cpus",
            "cpuset-mems",
            "kernel-memory",
            "kernel-memory-tcp",
            "memory",
            "cpu-idle",
            "memory-reservation",
            "memory-swap",
            "pids-limit",
            "l3-cache-schema",
            "mem-bw-schema",
        ],
    ),
    ("start", &[]),
    ("state", &[]),
    ("pause", &[]),
    ("resume", &[]),
    ("features", &[]),
    ("checkpoint", &["image-path", "leave-running", "pre-dump", "file-locks", "empty-ns"]),
    ("restore", &["image-path", "bundle", "b", "detach", "d", "no-subreaper", "no-pivot"]),
];

#[test]
fn every_flag_of_runc_is_there() {
    assert_eq!(RUNC.len(), ALL.len());
    for (name, flags) in RUNC {
        let command = find(name).unwrap();
        for flag in *flags {
            let known = command.flags.iter().any(|known| {
                known.name == *flag || known.short.is_some_and(|c| c.to_string() == *flag)
            });
            assert!(known, "{name} --{flag}");
        }
        let count = command.flags.iter().filter(|f| f.short.is_some()).count();
        if !matches!(*name, "checkpoint" | "restore") {
            assert_eq!(command.flags.len() + count, flags.len(), "{name} has a flag too many");
        }
    }
}

/// Every flag of every command, in every spelling.
#[test]
fn every_spelling_means_the_same() {
    let global = std::iter::once(("", GLOBAL_FLAGS, FlagsEnd::AtCommand));
    let commands = ALL.iter().map(|command| (command.name, command.flags, command.end));
    for (command, flags, end) in global.chain(commands) {
        for flag in flags.iter().filter(|flag| flag.name != "help") {
            let names = [Some(flag.name.to_owned()), flag.short.map(String::from)];
            for name in names.iter().flatten() {
                for dashes in ["-", "--"] {
                    let option = format!("{dashes}{name}");
                    let (value, spellings) = match flag.kind {
                        Kind::Switch => {
                            ("true", vec![vec![option.clone()], vec![format!("{option}=true")]])
                        }
                        Kind::Text | Kind::Integer | Kind::Texts | Kind::Integers => (
                            "17",
                            vec![
                                vec![option.clone(), "17".to_owned()],
                                vec![format!("{option}=17")],
                            ],
                        ),
                    };
                    for mut args in spellings {
                        args.push("c1".to_owned());
                        let parsed = parsed(flags, &args, end)
                            .unwrap_or_else(|e| panic!("{command} {args:?}: {e}"));
                        assert_eq!(parsed.positionals(), ["c1"], "{command} {args:?}");
                        let texts = parsed.texts(flag.name).unwrap();
                        assert_eq!(texts, [value], "{command} {args:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn values_are_taken_as_they_are() {
    let flags = &[
        Flag::new("env", Kind::Texts, "").short('e'),
        Flag::new("tty", Kind::Switch, "").short('t'),
        Flag::new("count", Kind::Integer, ""),
    ];
    let args = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let all = parsed(flags, &args("-e A=1,2 --env=B=-t -e --tty x"), FlagsEnd::Never).unwrap();
    assert_eq!(all.texts("env").unwrap(), ["A=1,2", "B=-t", "--tty"]);
    assert!(!all.switch("tty"));
    assert_eq!(
        parsed(flags, &args("-t=0 x"), FlagsEnd::Never).unwrap().switch_if_set("tty"),
        Some(false)
    );
    assert_eq!(
        parsed(flags, &args("-count -3 x"), FlagsEnd::Never).unwrap().integer("count"),
        Some(-3)
    );
    let ended = parsed(flags, &args("-t -- -e x"), FlagsEnd::Never).unwrap();
    assert_eq!(ended.positionals(), ["-e", "x"]);
    let dash = parsed(flags, &args("- -t"), FlagsEnd::Never).unwrap();
    assert_eq!((dash.positionals(), dash.switch("tty")), (&[OsString::from("-")][..], true));
    let first = parsed(flags, &args("-t x -e y"), FlagsEnd::AtFirst).unwrap();
    assert_eq!(first.positionals(), ["x", "-e", "y"]);
    for (bad, words) in [
        ("--env", "flag needs an argument: -env"),
        ("-et", "flag provided but not defined: -et"),
        ("--count=x", "invalid value \"x\" for flag -count: parse error"),
        ("--tty=maybe", "invalid boolean value \"maybe\" for -tty: parse error"),
        ("--nope=1", "flag provided but not defined: -nope"),
    ] {
        assert_eq!(parsed(flags, &args(bad), FlagsEnd::Never).unwrap_err(), words);
    }
}

#[test]
fn every_flag_and_command_has_help() {
    for command in ALL {
        assert!(!command.summary.is_empty(), "{}", command.name);
        for flag in command.flags.iter().filter(|flag| !flag.hidden) {
            assert!(!flag.help.is_empty(), "{} --{}", command.name, flag.name);
        }
    }
}
