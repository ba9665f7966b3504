//! A container holds no descriptor that it was not given, and no working
//! directory or program leads out through one (the class of CVE-2024-21626,
//! CVE-2016-9962). Needs root.

#![cfg(test)]

mod attacker;
mod bundle;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};

use attacker::{ALL, after};
use bundle::{Bundle, eventually};
use serde_json::json;

/// Descriptors that a careless caller leaves open: of a host directory, a
/// file, a socket's place. Without close-on-exec, as a shell opens them.
const LEAKS: &str = "exec 3</ 4</etc/passwd 5</etc 6</ 7</ 8</ 9</";

/// Number and target of every descriptor of a process.
fn descriptors(pid: i32) -> BTreeMap<u32, String> {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let number = entry.file_name().to_str().unwrap().parse().unwrap();
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            (number, target.to_string_lossy().into_owned())
        })
        .collect()
}

fn beyond_streams(pid: i32) -> BTreeMap<u32, String> {
    descriptors(pid).split_off(&3)
}

/// A container of `sleep`, made by a runtime with leaked descriptors.
fn leaky(preserve: u32) -> Bundle {
    let mut bundle = Bundle::new();
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    bundle.write_config();
    let path = bundle.path().to_str().unwrap();
    let preserve = preserve.to_string();
    let args = ["create", "-b", path, "--preserve-fds", &preserve, &bundle.id];
    bundle.finish(after(&bundle, LEAKS, &args)).ok();
    bundle
}

/// What a created container's process waits with, once it has let go of the
/// channel to the `create` that has just ended.
fn waiting_with(bundle: &Bundle, count: usize) -> BTreeMap<u32, String> {
    let pid = bundle.pid();
    eventually("the channel of `create` is closed", || beyond_streams(pid).len() == count);
    beyond_streams(pid)
}

#[test]
fn a_waiting_process_holds_one_socket_and_a_running_one_nothing() {
    let bundle = leaky(0);
    let waiting = waiting_with(&bundle, 1);
    // The socket that `start` connects to.
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert!(waiting.values().all(|target| target.starts_with("socket:")), "{waiting:?}");
    bundle.start().ok();
    assert_eq!(beyond_streams(bundle.pid()), BTreeMap::new());
    let pid_file = bundle.path().join("pid");
    let pid_file = pid_file.to_str().unwrap();
    let args = ["exec", "-d", "--pid-file", pid_file, &bundle.id, "sleep", "1000"];
    bundle.finish(after(&bundle, LEAKS, &args)).ok();
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    assert_eq!(beyond_streams(pid), BTreeMap::new());
}

#[test]
fn preserved_descriptors_and_no_others_pass() {
    let bundle = leaky(2);
    let waiting = waiting_with(&bundle, 3);
    let kept = |map: &BTreeMap<u32, String>| {
        map.iter().filter(|(_, t)| !t.starts_with("socket:")).map(|(n, _)| *n).collect::<Vec<_>>()
    };
    assert_eq!(kept(&waiting), [3, 4], "{waiting:?}");
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    bundle.start().ok();
    let running = beyond_streams(bundle.pid());
    assert_eq!((kept(&running), running.len()), (vec![3, 4], 2), "{running:?}");
    let list = ["sh", "-c", "ls /proc/$$/fd; :"];
    let mut args = vec!["exec", "--preserve-fds", "1", &bundle.id];
    args.extend(list);
    let seen = bundle.finish(after(&bundle, LEAKS, &args)).lines();
    assert_eq!(seen, ["0", "1", "2", "3"]);
}

/// `/proc/1/fd` of a waiting process, seen by one that was executed beside it.
#[test]
fn nobody_inside_sees_into_a_waiting_process() {
    let bundle = leaky(0);
    for probe in
        ["readlink /proc/1/fd/0", "readlink /proc/1/exe", "ls /proc/1/root/", "cat /proc/1/environ"]
    {
        let ended = bundle.exec(&["sh", "-c", probe]);
        assert_ne!(ended.code(), 0, "{probe}: {}", ended.stdout());
    }
    // Whoever may trace sees sockets, and no way to the host.
    let everything: Vec<&str> = ALL.iter().flat_map(|name| ["--cap", name]).collect();
    let seen = bundle.exec_with(&everything, &["sh", "-c", "ls -l /proc/1/fd; ls /proc/1/root/"]);
    let seen = seen.ok().stdout();
    let links: Vec<_> = seen.lines().filter_map(|line| line.split_once(" -> ")).collect();
    assert!(links.iter().any(|(_, target)| target.starts_with("socket:")), "{seen}");
    let harmless = |target: &str| {
        target.starts_with("socket:") || target == "/dev/null" || target.contains("/call-")
    };
    assert!(links.iter().all(|(_, target)| harmless(target)), "{seen}");
    assert!(!seen.contains("home\n"), "that is the host's root: {seen}");
}

#[test]
fn hooks_hold_nothing_but_their_streams() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    let script = bundle.path().join("hook.sh");
    let text = "#!/bin/sh\ncat >/dev/null\n(echo $1; ls -l /proc/self/fd) >>$2/hooks\n";
    for path in [&script, &bundle.rootfs().join("hook.sh")] {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let host = bundle.path().to_str().unwrap().to_owned();
    let hook = |kind: &str| {
        let inside = kind == "startContainer";
        let dir = if inside { "/tmp" } else { &host };
        let path = if inside { "/hook.sh" } else { script.to_str().unwrap() };
        let env = "PATH=/usr/bin:/bin";
        json!([{"path": path, "args": ["hook.sh", kind, dir], "env": [env]}])
    };
    let kinds =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let hooks = kinds.iter().map(|kind| ((*kind).to_owned(), hook(kind)));
    bundle.config["hooks"] = serde_json::Value::Object(hooks.collect());
    bundle.write_config();
    let args = ["create", "-b", &host, &bundle.id];
    bundle.finish(after(&bundle, LEAKS, &args)).ok();
    bundle.finish(after(&bundle, LEAKS, &["start", &bundle.id])).ok();
    bundle.finish(after(&bundle, LEAKS, &["delete", "--force", &bundle.id])).ok();
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let said = read(bundle.path().join("hooks")) + &read(bundle.rootfs().join("tmp/hooks"));
    for kind in kinds {
        let rest = said.split_once(&format!("{kind}\n")).map(|(_, rest)| rest);
        let rest = rest.unwrap_or_else(|| panic!("{kind} did not run: {said}"));
        let found: Vec<_> = rest
            .lines()
            .skip_while(|line| !line.contains(" -> "))
            .map_while(|line| line.split_once(" -> "))
            .map(|(left, target)| (left.rsplit(' ').next().unwrap_or(left), target))
            .collect();
        assert!(found.len() >= 3, "{kind}: {said}");
        // The listing itself has the directory open.
        let own = |(number, target): (&str, &str)| {
            ["0", "1", "2"].contains(&number) || (number == "3" && target.ends_with("/fd"))
        };
        let extra: Vec<_> = found.iter().filter(|f| !own(**f)).collect();
        assert!(extra.is_empty(), "{kind}: {extra:?}");
    }
}

/// CVE-2024-21626, by `process.cwd`, by a link of the image, and by the name
/// of the program.
#[test]
fn no_descriptor_leads_out() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["args"] = json!(["sh", "-c", "cat etc/hostname ../etc/shadow; ls"]);
    let host = bundle.path().to_str().unwrap().to_owned();
    for number in 3..=64 {
        let direct = format!("/proc/self/fd/{number}");
        let cwds = [direct.clone(), format!("{direct}/..")];
        let linked = bundle.rootfs().join("linked");
        let _ = std::fs::remove_file(&linked);
        symlink(&direct, &linked).unwrap();
        let all = if number <= 16 {
            vec![cwds[0].as_str(), &cwds[1], "/linked"]
        } else {
            vec![&*cwds[0]]
        };
        for cwd in all {
            bundle.config["process"]["cwd"] = json!(cwd);
            bundle.write_config();
            let ended = bundle.finish(after(&bundle, LEAKS, &["run", "-b", &host, &bundle.id]));
            assert_ne!(ended.code(), 0, "cwd {cwd}: {}", ended.stdout());
        }
    }
    bundle.config["process"]["cwd"] = json!("/");
    for number in 3..=16 {
        let name = format!("/proc/self/fd/{number}/bin/true");
        bundle.config["process"]["args"] = json!([name]);
        bundle.write_config();
        let ended = bundle.finish(after(&bundle, LEAKS, &["run", "-b", &host, &bundle.id]));
        assert_ne!(ended.code(), 0, "program {name}: {}", ended.stdout());
    }
}

#[test]
fn no_descriptor_leads_out_of_exec() {
    let bundle = leaky(0);
    bundle.start().ok();
    for number in 3..=64 {
        let direct = format!("/proc/self/fd/{number}");
        let linked = bundle.rootfs().join("linked");
        let _ = std::fs::remove_file(&linked);
        symlink(&direct, &linked).unwrap();
        for cwd in [direct.as_str(), "/linked"] {
            let args = ["exec", "--cwd", cwd, &bundle.id, "ls"];
            let ended = bundle.finish(after(&bundle, LEAKS, &args));
            assert_ne!(ended.code(), 0, "cwd {cwd}: {}", ended.stdout());
        }
        let name = format!("{direct}/bin/true");
        let ended = bundle.finish(after(&bundle, LEAKS, &["exec", &bundle.id, &name]));
        assert_ne!(ended.code(), 0, "program {name}");
    }
}

/// CVE-2016-9962: while a process is executed in a container of a user
/// namespace, root in there, with the right to trace, looks for descriptors
/// and for the host's root in every process that appears.
#[test]
fn a_process_on_its_way_in_can_not_be_looked_into() {
    let mut bundle = Bundle::new();
    attacker::install(&bundle);
    attacker::play(&mut bundle, "look");
    bundle.user_namespace(200_000);
    bundle.capabilities(&ALL);
    let marker = bundle.path().join("host-marker");
    std::fs::write(&marker, "x").unwrap();
    let env = bundle.config["process"]["env"].as_array_mut().unwrap();
    env.push(json!(format!("MARKER={}", marker.display())));
    bundle.started();
    let tmp = bundle.rootfs().join("tmp");
    eventually("the attack begins", || tmp.join("started").exists());
    // Others that join its namespaces are looked at as well.
    let mut other = Bundle::new();
    other.user_namespace(200_000);
    let pid = bundle.pid();
    for kind in ["user", "pid"] {
        other.namespace(kind, Some(&format!("/proc/{pid}/ns/{kind}")));
    }
    for map in ["uidMappings", "gidMappings"] {
        other.config["linux"].as_object_mut().unwrap().remove(map);
    }
    let (mut execs, mut runs) = (0, 0);
    while !tmp.join("result").exists() {
        execs += u32::from(bundle.exec(&["true"]).code() == 0);
        let ran = other.run();
        runs += u32::from(ran.code() == 0);
    }
    let said = std::fs::read_to_string(tmp.join("result")).unwrap();
    eprintln!("{said}; {execs} execs, {runs} runs");
    assert!(execs > 0 && runs > 0, "nothing was attacked: {execs} execs, {runs} runs");
    assert!(attacker::figure(&said, "seen") > 0, "no process was seen: {said}");
    assert_eq!(attacker::figure(&said, "host"), 0, "{said}");
    assert_eq!(attacker::figure(&said, "descriptors"), 0, "{said}");
}

fn look() {
    let marker = std::env::var("MARKER").unwrap();
    let (mut seen, mut host, mut descriptors) = (0, 0, 0);
    std::fs::write("/tmp/started", "").unwrap();
    let mut last = 0;
    attacker::repeat(4.0, || {
        for pid in attacker::others() {
            let proc = format!("/proc/{pid}");
            if pid != last {
                seen += 1;
                last = pid;
            }
            host += u32::from(std::fs::metadata(format!("{proc}/root{marker}")).is_ok());
            let Ok(entries) = std::fs::read_dir(format!("{proc}/fd")) else { continue };
            for entry in entries.filter_map(Result::ok) {
                let number = entry.file_name().to_string_lossy().parse::<u32>();
                let Ok(target) = std::fs::read_link(entry.path()) else { continue };
                // A program that runs already has what it opened itself.
                let own = target.starts_with("/etc") || target.starts_with("/bin");
                descriptors += u32::from(number.is_ok_and(|n| n > 2) && !own);
            }
        }
    });
    attacker::report(&format!("seen={seen} host={host} descriptors={descriptors} "));
}

#[test]
#[ignore = "a role inside a container"]
fn inside() {
    if attacker::role() == "look" {
        look();
    }
}
