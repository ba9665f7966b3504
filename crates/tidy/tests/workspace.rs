//! The rules over the workspace's crates.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

use std::path::Path;
use std::process::Command;

use caisson_tidy::layering::{self, Edge};
use caisson_tidy::tree;
use serde_json::Value;

/// What `cargo metadata` says of the members, without resolving anything.
fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(tree::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name(package: &Value) -> String {
    package["name"].as_str().unwrap().to_owned()
}

#[test]
fn arrows_point_down_only() {
    let packages = packages();
    let members: Vec<String> = packages.iter().map(name).collect();
    let mut edges = Vec::new();
    for package in &packages {
        for dependency in package["dependencies"].as_array().unwrap() {
            let (from, to) = (name(package), name(dependency));
            edges.push(Edge { from, to, dev: dependency["kind"] == "dev" });
        }
    }
    assert!(edges.len() > members.len(), "metadata lists no dependencies");
    let wrong = layering::check(&members, &edges);
    assert!(wrong.is_empty(), "crates/tidy/src/layering.rs:\n{}", wrong.join("\n"));
}

#[test]
fn every_crate_has_the_strict_lints_and_the_licence() {
    for package in packages() {
        let manifest = package["manifest_path"].as_str().unwrap();
        let text = std::fs::read_to_string(manifest).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{manifest}: no `[lints]` section");
        assert_eq!(package["license"], "Apache-2.0", "{manifest}");
        assert_eq!(package["publish"], Value::Array(Vec::new()), "{manifest}: publish = false");
    }
}

#[test]
fn architecture_lists_every_crate() {
    let text = std::fs::read_to_string(tree::root().join("ARCHITECTURE.md")).unwrap();
    for package in packages() {
        let name = name(&package);
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let folder = folder.strip_prefix(tree::root()).unwrap().display().to_string();
        assert!(text.contains(&format!("`{name}`")), "ARCHITECTURE.md does not list `{name}`");
        assert!(text.contains(&format!("`{folder}`")), "ARCHITECTURE.md does not list `{folder}`");
    }
}
