//! The ledger `coverage/cgroup.tsv`: every limit of the spec has a row, and the
//! modules that a row names do mention its files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::Path;

const LEDGER: &str = include_str!("../../../coverage/cgroup.tsv");
const SPEC: &str = include_str!("../../../coverage/runtime-spec.tsv");

fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('\t').collect())
}

/// Fields with a value of their own: not groups of fields, nor parts of an element.
fn limits() -> BTreeSet<String> {
    let all: Vec<&str> = rows(SPEC).map(|row| row[0]).collect();
    let ours = |field: &&str| {
        field.starts_with("linux.resources.") || field.starts_with("linux.intelRdt.")
    };
    let is_group =
        |field: &str| all.iter().any(|f| f.starts_with(&format!("{field}.")) && !f.contains('*'));
    all.iter()
        .filter(|field| ours(field) && !field.contains("[]") && !field.contains('*'))
        .filter(|field| !is_group(field))
        .map(|field| (*field).to_owned())
        .collect()
}

#[test]
fn every_limit_has_one_row() {
    let fields: Vec<String> = rows(LEDGER).map(|row| row[0].to_owned()).collect();
    let set: BTreeSet<String> = fields.iter().cloned().collect();
    assert_eq!(set.len(), fields.len(), "a field has two rows");
    let limits = limits();
    let missing: Vec<_> = limits.difference(&set).collect();
    let unknown: Vec<_> = set.difference(&limits).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

#[test]
fn modules_mention_the_files_of_their_rows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for row in rows(LEDGER) {
        let [field, v1, v2, modules] = row[..] else { panic!("not four columns: {row:?}") };
        let text: String = modules
            .split_whitespace()
            .map(|module| std::fs::read_to_string(src.join(module)).unwrap())
            .collect();
        for column in [v1, v2] {
            assert!(!column.is_empty(), "{field}");
            let files = column.split_whitespace().filter(|word| word.contains(['.', '_']));
            for file in files.filter(|_| !column.contains(": ")) {
                // Page sizes are put in between by the program.
                for part in file.split(".*.").flat_map(|part| part.split("rsvd.")) {
                    assert!(
                        text.contains(part.trim_matches('.')),
                        "{field}: {modules} lack {file}"
                    );
                }
            }
        }
    }
}
