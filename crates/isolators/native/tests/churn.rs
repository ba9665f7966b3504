//! Many containers, one after the other and at once, leave nothing. (The
//! bench program does the same with more.)

#![cfg(test)]

mod bundle;

use std::process::Stdio;

use bundle::{Bundle, Census, cgroups_named, unique_id};

#[test]
fn sixty_in_a_row_leave_nothing() {
    let bundle = Bundle::new();
    let before = Census::take(&bundle);
    bundle.write_config();
    for round in 0..60 {
        if round % 2 == 0 {
            bundle.run().ok();
        } else {
            bundle.create().ok();
            bundle.start().ok();
            bundle.call(&["delete", "--force", &bundle.id]).ok();
        }
    }
    assert_eq!(Census::take(&bundle), before);
}

#[test]
fn twenty_at_once_leave_nothing() {
    let bundle = Bundle::sleeper();
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    let ids: Vec<String> = (0..20).map(|_| unique_id()).collect();
    let all = |verb: &[&str]| {
        let children: Vec<_> = ids
            .iter()
            .map(|id| {
                let mut command = bundle.command(verb);
                command.arg(id).stdout(Stdio::null()).spawn().unwrap()
            })
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success(), "{verb:?}");
        }
    };
    ids.iter().for_each(|id| bundle.also(id));
    all(&["create", "--bundle", path]);
    all(&["start"]);
    assert_eq!(bundle.call(&["list", "-q"]).lines().len(), 20);
    all(&["delete", "--force"]);
    assert!(bundle.call(&["list", "-q"]).lines().is_empty());
    for id in &ids {
        assert!(cgroups_named(id).is_empty(), "{id}");
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(path), "{mounts}");
}
