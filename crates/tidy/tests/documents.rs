//! The rules over documents: what they point to exists.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

use std::collections::BTreeSet;
use std::path::Path;

use caisson_tidy::tables;
use caisson_tidy::tree::{self, File};

fn files() -> Vec<File> {
    tree::read(&tree::root()).unwrap()
}

fn text<'a>(files: &'a [File], path: &str) -> &'a str {
    let file = files.iter().find(|f| f.path == path);
    &file.unwrap_or_else(|| panic!("{path} is missing")).text
}

fn make_targets(makefile: &str) -> BTreeSet<&str> {
    let rules = makefile.lines().filter(|l| !l.starts_with(['\t', '#', '.', ' ']));
    let rules = rules.filter_map(|l| l.split_once(':')).filter(|(_, r)| !r.starts_with('='));
    rules.flat_map(|(names, _)| names.split_whitespace()).collect()
}

/// Whether a reference of SPECIFICATION.md leads somewhere: `make target`,
/// a path, or `path::test_name` with a function of that name in the file.
fn leads_somewhere(reference: &str, files: &[File], targets: &BTreeSet<&str>) -> bool {
    if let Some(target) = reference.strip_prefix("make ") {
        return targets.contains(target);
    }
    let (path, test) = reference.split_once("::").unwrap_or((reference, ""));
    let folder = format!("{}/", path.trim_end_matches('/'));
    let found = files.iter().find(|f| f.path == path || f.path.starts_with(&folder));
    let test = test.rsplit("::").next().unwrap_or_default();
    found.is_some_and(|f| test.is_empty() || f.text.contains(&format!("fn {test}(")))
}

#[test]
fn every_promise_names_what_shows_it() {
    let files = files();
    let targets = make_targets(text(&files, "Makefile"));
    let rows = tables::column(text(&files, "SPECIFICATION.md"), "shown by");
    assert!(rows.len() > 5, "SPECIFICATION.md has no table with a column `shown by`");
    let mut wrong = Vec::new();
    for (line, cell) in rows {
        let references = tables::code_spans(&cell);
        if references.is_empty() {
            wrong.push(format!("SPECIFICATION.md:{line}: names no test and no bench"));
        }
        for reference in references {
            if !leads_somewhere(reference, &files, &targets) {
                wrong.push(format!("SPECIFICATION.md:{line}: `{reference}` leads nowhere"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn references_can_fail() {
    let files = files();
    let targets = make_targets(text(&files, "Makefile"));
    let good = ["make test", "crates/tidy", "crates/tidy/tests/documents.rs::references_can_fail"];
    for reference in good {
        assert!(leads_somewhere(reference, &files, &targets), "{reference}");
    }
    for reference in ["make nothing", "crates/none", "crates/tidy/src/lib.rs::no_such"] {
        assert!(!leads_somewhere(reference, &files, &targets), "{reference}");
    }
}

#[test]
fn the_documents_of_the_house_exist() {
    let files = files();
    for path in [
        "README.md",
        "ARCHITECTURE.md",
        "SPECIFICATION.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        "Makefile",
        ".ci/run",
    ] {
        assert!(text(&files, path).len() > 200, "{path} says next to nothing");
    }
    let targets = make_targets(text(&files, "Makefile"));
    for target in ["demo", "test", "conformance", "bench", "install", "lint"] {
        assert!(targets.contains(target), "Makefile has no target `{target}`");
    }
}

#[test]
fn every_ledger_has_a_test_that_names_it() {
    let files = files();
    let tests = tree::test_modules(&files);
    for ledger in files.iter().filter(|f| f.path.starts_with("coverage/")) {
        let name = ledger.path.rsplit('/').next().unwrap_or_default();
        if name.eq_ignore_ascii_case("README.md") {
            continue;
        }
        let reads = |f: &&File| {
            f.rust.is_some()
                && f.text.contains(name)
                && (f.is_test(&tests) || f.text.contains("#[test]"))
        };
        assert!(files.iter().any(|f| reads(&f)), "{}: no test names this ledger", ledger.path);
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for File { path, text, .. } in files().iter().filter(|f| f.path.ends_with(".md")) {
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        for (line, target) in tables::local_links(text) {
            if !tree::root().join(folder).join(target).exists() {
                wrong.push(format!("{path}:{line}: {target} does not exist"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_known_hole_names_its_attack() {
    let files = files();
    let targets = make_targets(text(&files, "Makefile"));
    let rows = tables::column(text(&files, "SECURITY.md"), "attacked by");
    assert!(rows.len() > 5, "SECURITY.md has no table with a column `attacked by`");
    let mut wrong = Vec::new();
    for (line, cell) in rows {
        let references = tables::code_spans(&cell);
        if references.is_empty() && cell != "not yet" {
            wrong.push(format!("SECURITY.md:{line}: names no test, and does not say `not yet`"));
        }
        for reference in references {
            if !leads_somewhere(reference, &files, &targets) {
                wrong.push(format!("SECURITY.md:{line}: `{reference}` leads nowhere"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
