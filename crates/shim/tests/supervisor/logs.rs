//! What is kept of the output.

use std::fs;
use std::time::Instant;

use serde_json::json;

use crate::needs_root;
use crate::pod::{PATIENCE, Pod, eventually};

#[test]
fn kubernetes_format() {
    needs_root!();
    let mut pod = Pod::script("echo one; echo two >&2; printf three");
    pod.container["log"]["driver"] = json!("k8s");
    pod.run();
    let log = pod.log();
    let mut lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["stderr F two", "stdout F one", "stdout F three"]);
    let time = log.split(' ').next().unwrap();
    assert!(time.len() == 30 && time.ends_with('Z') && time.starts_with("20"), "{time}");
}

#[test]
fn long_lines_and_bytes_that_are_no_text() {
    needs_root!();
    let mut pod = Pod::script(
        "head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'a\\377b\\n'; printf 'no end'",
    );
    pod.run();
    assert_eq!(pod.logged("stdout"), format!("{}\na\u{fffd}b\nno end", "x".repeat(40000)));
    assert_eq!(pod.log().lines().count(), 5);
    pod.container["log"]["driver"] = json!("k8s");
    pod.container["log"]["path"] = json!(pod.path("cri"));
    pod.run();
    let log = fs::read(pod.path("cri")).unwrap();
    let tags: Vec<u8> =
        log.split(|b| *b == b'\n').filter_map(|line| line.get(38).copied()).collect();
    assert_eq!(tags, *b"PPFFF");
    assert!(log.windows(4).any(|window| window == b" a\xffb"));
}

#[test]
fn logs_rotate() {
    needs_root!();
    let mut pod = Pod::script("i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done");
    pod.container["log"] = json!({
        "driver": "json-file", "path": pod.path("log"), "max_size": 8000, "max_files": 3
    });
    pod.run();
    let names = ["log", "log.1", "log.2"];
    let sizes = names.map(|name| fs::metadata(pod.path(name)).unwrap().len());
    assert!(sizes.iter().all(|size| *size <= 8000), "{sizes:?}");
    assert!(!pod.path("log.3").exists());
    let text: String =
        names.iter().rev().map(|name| fs::read_to_string(pod.path(name)).unwrap()).collect();
    let numbers: Vec<u32> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["log"].as_str().unwrap().trim()[5..].parse().unwrap())
        .collect();
    assert_eq!(numbers.last(), Some(&499));
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
}

#[test]
fn a_log_is_reopened_after_a_rename() {
    needs_root!();
    let pod =
        Pod::script("trap 'echo after' USR1; echo before; while :; do sleep 1000 & wait $!; done");
    let shim = pod.started();
    pod.await_log("before");
    fs::rename(pod.path("log"), pod.path("old")).unwrap();
    shim.reopen_log().unwrap();
    shim.signal(10, false).unwrap();
    pod.await_log("after");
    assert!(!pod.log().contains("before"));
}

#[test]
fn a_full_disk_loses_output_and_nothing_else() {
    needs_root!();
    let mut pod = Pod::script("head -c 1000000 /dev/zero | tr '\\0' '\\n'; echo done > /done; cat");
    pod.container["log"]["path"] = json!("/dev/full");
    pod.container["stdin"] = json!("open");
    let shim = pod.started();
    eventually("the container goes on", || pod.path("upper/done").exists());
    eventually("losses are counted", || shim.state().unwrap().log_dropped > 1_000_000);
}

#[test]
fn a_flood_is_kept_whole_and_holds_nobody_up() {
    needs_root!();
    let megabytes = 8;
    let pod = Pod::script(&format!("yes 0123456789abcdef | head -c {}", megabytes << 20));
    let shim = pod.created();
    let watch = shim.watch_exit().unwrap();
    let began = Instant::now();
    shim.start().unwrap();
    let mut slowest = std::time::Duration::ZERO;
    while pod.exit_file().is_none() {
        let asked = Instant::now();
        if shim.state().is_err() {
            break;
        }
        slowest = slowest.max(asked.elapsed());
    }
    watch.wait(Some(PATIENCE)).unwrap();
    pod.await_gone();
    eprintln!("{megabytes} MiB logged in {:?}; slowest answer {slowest:?}", began.elapsed());
    assert_eq!(pod.logged("stdout").len(), megabytes << 20);
}

#[test]
fn none_keeps_none() {
    needs_root!();
    let mut pod = Pod::script("echo lost");
    pod.container["log"] = json!({"driver": "none"});
    assert_eq!(pod.run().code, 0);
    assert!(!pod.path("log").exists());
}
