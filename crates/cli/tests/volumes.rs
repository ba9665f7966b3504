//! `caisson volume`, and the volumes of containers. Containers need root.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
#![allow(clippy::panic, reason = "a test stops at the first surprise")]

mod busybox;
mod caisson;

use busybox::{assert_nothing_left, root};
use caisson::Caisson;
use serde_json::Value;

fn names(caisson: &Caisson, more: &[&str]) -> Vec<String> {
    let mut args = vec!["volume", "ls", "-q"];
    args.extend_from_slice(more);
    caisson.run(&args).lines().map(str::to_owned).collect()
}

fn usage(caisson: &Caisson) -> Value {
    let rows = caisson.run(&["system", "df", "--format", "json"]);
    let rows: Value = serde_json::from_str(&rows).unwrap();
    rows.as_array().unwrap().iter().find(|row| row["type"] == "Volumes").unwrap().clone()
}

#[test]
fn volumes_are_made_listed_and_removed_without_containers() {
    let caisson = Caisson::new();
    assert_eq!(caisson.run(&["volume", "create", "data", "-l", "a=b"]), "data\n");
    assert_eq!(caisson.run(&["volume", "create", "data"]), "data\n", "it may be there");
    let made_up = caisson.run(&["volume", "create"]).trim().to_owned();
    assert_eq!(made_up.len(), 64);
    assert_eq!(names(&caisson, &["--filter", "label=a=b"]), ["data"]);
    assert_eq!(names(&caisson, &["--filter", "name=at"]), ["data"]);
    assert_eq!(names(&caisson, &["--filter", "dangling=false"]), [""; 0]);
    assert!(caisson.run(&["volume", "ls"]).contains("local    data"));
    for inspect in [&["volume", "inspect"][..], &["inspect"], &["inspect", "--type", "volume"]] {
        let mut args = inspect.to_vec();
        args.push("data");
        let text = caisson.run(&args);
        let volume: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(volume[0]["Labels"]["a"], "b", "{text}");
        let path = volume[0]["Mountpoint"].as_str().unwrap().to_owned();
        assert_eq!(std::path::Path::new(&path), caisson.path("state/volumes/data/_data"));
        std::fs::write(std::path::Path::new(&path).join("file"), [0; 5000]).unwrap();
    }
    let usage = usage(&caisson);
    assert_eq!((&usage["total"], &usage["active"]), (&2.into(), &0.into()));
    assert_eq!((&usage["size"], &usage["reclaimable"]), (&5000.into(), &5000.into()));

    for (code, args, told) in [
        (1, &["volume", "create", "../out"][..], "no name of a volume"),
        (125, &["volume", "create", "--opt", "type=nfs", "x1"], "mount the device"),
        (125, &["volume", "create", "-d", "nfs", "x1"], "local"),
        (1, &["volume", "rm", "nosuch"], "no volume is called"),
        (1, &["volume", "rm", "../state"], "no volume is called"),
        (1, &["volume", "inspect", "nosuch"], "no volume is called"),
        (1, &["volume", "prune"], "--force"),
        (125, &["volume", "prune", "-f", "--filter", "nme=x"], "keys: label"),
    ] {
        let error = caisson.fail(code, args);
        assert!(error.contains(told), "{args:?}: {error}");
    }
    caisson.run(&["volume", "rm", "--force", "nosuch"]);
    // As docker: a name protects.
    assert!(caisson.run(&["volume", "prune", "-f"]).contains(&made_up));
    assert_eq!(names(&caisson, &[]), ["data"]);
    caisson.run(&["volume", "prune", "-af", "--filter", "label=other"]);
    assert_eq!(names(&caisson, &[]), ["data"]);
    assert_eq!(caisson.run(&["volume", "rm", "data"]), "data\n");
    assert_eq!(std::fs::read_dir(caisson.path("state/volumes")).unwrap().count(), 0);
    let events = caisson.run(&["events", "--no-stream"]);
    assert!(events.contains("volume create data") && events.contains("volume destroy data"));
}

#[test]
fn a_volume_in_use_stays() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    let create = ["create", "--network", "none"];
    let made = |more: &[&str]| caisson.run(&[&create[..], more, &["busybox", "true"]].concat());
    made(&["--name", "one", "-v", "data:/data", "-v", "/own"]);
    made(&["--name", "two", "--volumes-from", "one"]);
    let error = caisson.fail(1, &["volume", "rm", "data"]);
    assert!(error.contains("in use by containers one, two"), "{error}");
    assert_eq!(usage(&caisson)["active"], 2);
    caisson.run(&["volume", "prune", "-af"]);
    assert_eq!(names(&caisson, &[]).len(), 2);

    // The first one's own volume is the second one's too.
    caisson.run(&["rm", "-v", "one"]);
    assert_eq!(names(&caisson, &[]).len(), 2);
    let error = caisson.fail(1, &["volume", "rm", "data"]);
    assert!(error.contains("in use by container two"), "{error}");
    assert_eq!(caisson.run(&["inspect", "data", "--format", "Containers"]), "[\"two\"]\n");
    let pruned = caisson.run(&["system", "prune", "-f", "--volumes"]);
    assert!(pruned.contains("Removed volume: "), "{pruned}");
    assert_eq!(names(&caisson, &[]), ["data"], "a name protects");
    caisson.run(&["volume", "rm", "data"]);
    assert_nothing_left(&caisson);
}
