//! The ledger `coverage/runtime-spec.tsv` against the types and the schema.

#![cfg(test)]

mod trace;

use caisson_runtime_spec::Spec;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const LEDGER: &str = include_str!("../../../coverage/runtime-spec.tsv");
const SCHEMA: &str = include_str!("data/schema-fields.txt");
const FULL: &str = include_str!("data/full.json");

/// Fields of the schema that the Linux types leave out.
const OTHER_PLATFORMS: [&str; 7] =
    ["freebsd", "process.commandLine", "process.user.username", "solaris", "vm", "windows", "zos"];

/// Fields that map free names to values.
const MAPS: [&str; 5] = [
    "annotations",
    "linux.netDevices",
    "linux.resources.rdma",
    "linux.resources.unified",
    "linux.sysctl",
];

/// Whether `file::function` is a test; `file` starts at the top of the tree.
fn is_test(reference: &str) -> bool {
    let Some((file, function)) = reference.split_once("::") else { return false };
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {function}()");
    lines.windows(2).any(|two| two[0] == "#[test]" && two[1].starts_with(&head))
}

fn schema() -> BTreeSet<String> {
    let lines = SCHEMA.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}

fn types() -> BTreeSet<String> {
    trace::field_paths::<Spec>()
}

#[track_caller]
fn assert_same(left: &BTreeSet<String>, right: &BTreeSet<String>) {
    let only_left: Vec<_> = left.difference(right).collect();
    let only_right: Vec<_> = right.difference(left).collect();
    assert!(
        only_left.is_empty() && only_right.is_empty(),
        "only left: {only_left:#?}, only right: {only_right:#?}"
    );
}

#[test]
fn types_have_every_field_of_the_schema_and_no_other() {
    let mut expected = schema();
    for field in OTHER_PLATFORMS {
        assert!(expected.remove(field), "{field} is not in the schema");
    }
    assert_same(&types(), &expected);
}

#[test]
fn ledger_has_one_sound_row_for_every_field_of_the_schema() {
    let mut rows = BTreeMap::new();
    for (number, line) in LEDGER.lines().enumerate() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let columns: Vec<&str> = line.split('\t').collect();
        let [path, status, module, test, reason] = columns[..] else {
            panic!("line {}: not five columns: {line:?}", number + 1);
        };
        match status {
            "honoured" => {
                assert!(!module.is_empty(), "{path}: which module honours it?");
                assert!(is_test(test), "{path}: {test:?} is no test in the tree");
            }
            "refused" | "ignored" => assert!(!reason.is_empty(), "{path}: {status} for no reason"),
            other => panic!("{path}: {other:?} is no status"),
        }
        if OTHER_PLATFORMS.contains(&path) {
            assert_eq!(status, "ignored", "{path} is not a Linux field");
        }
        assert!(rows.insert(path.to_owned(), status).is_none(), "{path}: two rows");
    }
    assert_same(&rows.into_keys().collect(), &schema());
}

#[test]
fn the_full_example_has_every_field_of_the_types() {
    let mut found = BTreeSet::new();
    walk(&serde_json::from_str(FULL).unwrap(), "", &mut found);
    // A policy with a priority has no deadline, and the other way around.
    assert!(found.insert("process.scheduler.priority".to_owned()));
    assert_same(&found, &types());
}

fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let is_map = MAPS.contains(&path);
                let dot = if path.is_empty() { "" } else { "." };
                let inner = format!("{path}{dot}{}", if is_map { "*" } else { key });
                if !is_map {
                    found.insert(inner.clone());
                }
                walk(member, &inner, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                walk(item, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_full_example_is_valid_and_survives_a_round_trip() {
    let spec = Spec::from_slice(FULL.as_bytes()).unwrap();
    caisson_runtime_spec::validate(&spec).unwrap();
    let written = serde_json::to_value(&spec).unwrap();
    let original: Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(written, original);
}
