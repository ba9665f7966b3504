//! The rules over every file of the repository.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

use std::fs;

use caisson_tidy::exceptions;
use caisson_tidy::ratchet::{self, Counts};
use caisson_tidy::rules;
use caisson_tidy::tree::{self, File};
use caisson_tidy::words;

const SOFT_LIMIT: usize = 500;
const HARD_LIMIT: usize = 1000;

fn files() -> Vec<File> {
    tree::read(&tree::root()).unwrap()
}

fn beside_manifest(name: &str) -> String {
    fs::read_to_string(tree::root().join("crates/tidy").join(name)).unwrap()
}

/// Verbatim texts of others, and files that tools write.
fn foreign(path: &str) -> bool {
    path == "LICENSE" || path.ends_with("Cargo.lock") || path.ends_with("go.sum")
}

#[test]
fn every_rule_holds_or_has_an_exception() {
    let files = files();
    let test_modules = tree::test_modules(&files);
    let mut findings = Vec::new();
    for file in files.iter().filter(|f| !foreign(&f.path)) {
        let (path, text) = (file.path.as_str(), file.text.as_str());
        findings.extend(words::telling_name(path));
        findings.extend(words::leftovers(path, text));
        findings.extend(words::foreign_words(path, text));
        let Some(rust) = &file.rust else { continue };
        findings.extend(rules::unsafe_has_a_note(path, rust));
        if path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs") {
            findings.extend(rules::has_header(path, text));
        }
        if file.is_test(&test_modules) {
            continue;
        }
        findings.extend(rules::lint_exemptions(path, rust));
        findings.extend(rules::banned_calls(path, rust));
        findings.extend(rules::raw_descriptors(path, rust));
    }
    let (list, mut wrong) = exceptions::parse(&beside_manifest("exceptions.txt"));
    let (rest, idle) = exceptions::apply(&list, findings);
    wrong.extend(rest.iter().map(ToString::to_string));
    wrong.extend(idle);
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn files_are_short_and_counts_only_fall() {
    let mut found = Counts::new();
    let mut lengths = Vec::new();
    let mut leftovers = 0;
    for file in files().iter().filter(|f| !foreign(&f.path)) {
        leftovers += words::count_leftovers(&file.text);
        if file.path.starts_with("conformance/") && file.path.contains("skip") {
            let real = |l: &&str| !l.trim().is_empty() && !l.trim_start().starts_with('#');
            let count = file.text.lines().filter(real).count();
            if [".txt", ".list", ".tsv"].iter().any(|end| file.path.ends_with(end)) {
                found.insert(("skips".to_owned(), file.path.clone()), count);
            }
        }
        if file.rust.is_some() {
            let lines = file.text.lines().count();
            assert!(lines <= HARD_LIMIT, "{}: {lines} lines, the limit is {HARD_LIMIT}", file.path);
            if lines > SOFT_LIMIT {
                found.insert(("lines".to_owned(), file.path.clone()), lines);
            }
            lengths.push(lines);
        }
    }
    found.insert(("counts".to_owned(), "leftovers".to_owned()), leftovers);
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    let long = lengths.iter().filter(|&&l| l > SOFT_LIMIT).count();
    println!("{} Rust files, median {median} lines, {long} above {SOFT_LIMIT}", lengths.len());
    let recorded = ratchet::parse(&beside_manifest("ratchet.toml")).unwrap();
    let wrong = ratchet::compare(&recorded, &found);
    assert!(wrong.is_empty(), "crates/tidy/ratchet.toml:\n{}", wrong.join("\n"));
}

#[test]
fn scripts_are_strict() {
    let mut wrong = Vec::new();
    for File { path, text, .. } in files() {
        let shell = text.lines().next().is_some_and(|l| l.starts_with("#!") && l.ends_with("sh"));
        // A list of checks goes on after a failure and counts; a sourced file
        // may set the options for all.
        let strict = |l: &str| ["set -e", "set -u", ". \"$"].iter().any(|s| l.starts_with(s));
        if shell && !text.lines().any(strict) {
            wrong.push(format!("{path}: neither `set -eu` nor `set -u`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_skip_gives_a_reason() {
    let mut wrong = Vec::new();
    for File { path, text, .. } in files() {
        if !path.starts_with("conformance/") || !path.ends_with("skip.tsv") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut columns = line.split('\t');
            let reason = columns.next_back().map_or(0, |reason| reason.trim().len());
            if columns.next().is_none() || reason < 15 {
                wrong.push(format!("{path}:{}: no reason in the last column", index + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
