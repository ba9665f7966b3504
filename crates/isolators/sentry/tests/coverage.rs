//! The ledger `coverage/syscalls.tsv` against the dispatch table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

use std::collections::BTreeMap;

use caisson_sentry::syscalls::{Handler, TABLE};

const LEDGER: &str = include_str!("../../../../coverage/syscalls.tsv");

/// Served by the platform: a signal of the filter's, not a row of the table.
const BY_SIGNAL: [u64; 2] = [15, 335];

struct Row<'a> {
    name: &'a str,
    state: &'a str,
    note: &'a str,
}

fn ledger() -> BTreeMap<u64, Row<'static>> {
    let lines = LEDGER.lines().filter(|l| !l.starts_with('#')).skip(1);
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [number, name, state, note] = cells[..] else { panic!("four cells: {line}") };
        (number.parse().unwrap(), Row { name, state, note })
    });
    rows.collect()
}

#[test]
fn every_call_has_one_row_that_is_true() {
    let ledger = ledger();
    for row in TABLE {
        let said = ledger.get(&row.number).unwrap_or_else(|| panic!("{}: no row", row.name));
        assert_eq!(said.name, row.name);
        match &row.handler {
            Handler::Refused(errno) => {
                let name = match errno.raw_os_error() {
                    38 => "ENOSYS",
                    97 => "EAFNOSUPPORT",
                    1 => "EPERM",
                    95 => "EOPNOTSUPP",
                    other => panic!("{}: name error {other} here", row.name),
                };
                assert_eq!(said.state, "refused", "{}", row.name);
                assert!(said.note.starts_with(name), "{}: {}", row.name, said.note);
            }
            _ => assert!(["implemented", "partial"].contains(&said.state), "{}", row.name),
        }
    }
    for (number, said) in &ledger {
        let served = TABLE.iter().any(|row| row.number == *number);
        if !served && !BY_SIGNAL.contains(number) {
            assert_eq!(said.state, "refused", "{}", said.name);
            assert!(said.note.starts_with("ENOSYS"), "{}", said.name);
        }
        assert_eq!(
            said.note.is_empty(),
            said.state == "implemented" && *number != 15,
            "{}",
            said.name
        );
    }
}

#[test]
fn no_number_is_left_out() {
    let ledger = ledger();
    assert!(ledger.len() > 370);
    for number in (0..=336).chain(424..=469) {
        assert!(ledger.contains_key(&number), "{number}");
    }
}
