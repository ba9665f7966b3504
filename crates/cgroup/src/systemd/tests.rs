//! The driver against a real `dbus-daemon`, which checks every message, and a
//! stand-in for systemd that records calls and makes the cgroup. Needs root and
//! Debian's `dbus-daemon`.

use super::bus::Bus;
use super::property::UnitProperty;
use super::value::Value;
use super::wire::{
    Decoder, ERROR, Encoder, Incoming, METHOD_CALL, METHOD_RETURN, Outgoing, SIGNAL,
};
use crate::{Cgroup, CgroupConfig, Driver, Layout, LayoutKind, Resources};
use rustix::process::{Pid, Signal};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

struct Daemon {
    process: Child,
    directory: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Option<Daemon> {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            r#"<busconfig><type>session</type><listen>unix:path={}/bus</listen>
            <auth>EXTERNAL</auth><policy context="default"><allow send_destination="*"/>
            <allow receive_sender="*"/><allow own="*"/></policy></busconfig>"#,
            directory.path().display()
        );
        let file = directory.path().join("config");
        std::fs::write(&file, config).unwrap();
        let spawned = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", file.display()))
            .args(["--nofork", "--nopidfile"])
            .spawn();
        let Ok(process) = spawned else {
            println!(
                "NOT TESTED: the systemd driver, for want of dbus-daemon (package dbus-daemon)"
            );
            return None;
        };
        let daemon = Daemon { process, directory };
        let start = Instant::now();
        while !daemon.directory.path().join("bus").exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "dbus-daemon does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(daemon)
    }

    fn address(&self) -> String {
        format!("unix:path={}/bus", self.directory.path().display())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A call as the stand-in got it: member, signature, body.
struct Call(String, String, Vec<u8>);

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn fake_systemd(address: &str, tree: &Path, calls: &Sender<Call>) {
    let mut bus = Bus::connect(address, deadline()).unwrap();
    let mut bus_call = |member, signature, fill: &dyn Fn(&mut Encoder)| {
        let mut out = Encoder::default();
        fill(&mut out);
        let message = Outgoing {
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member,
            destination: "org.freedesktop.DBus",
            signature,
            body: out.into_bytes(),
            ..Outgoing::default()
        };
        bus.call(message, deadline()).unwrap();
    };
    bus_call("Hello", "", &|_| {});
    bus_call("RequestName", "su", &|out| {
        out.string("org.freedesktop.systemd1");
        out.u32(0);
    });
    calls.send(Call("ready".into(), String::new(), Vec::new())).unwrap();
    let mut refuse = true;
    // Ends when the daemon goes.
    while let Ok(call) = bus.message(deadline(), "calls") {
        if call.kind != METHOD_CALL {
            continue;
        }
        let member = call.member.as_str();
        if member == "StartTransientUnit" && std::mem::take(&mut refuse) {
            reply(&mut bus, &call, ERROR, "s", |out| out.string("Unit exists"));
        } else {
            answer(&mut bus, &call, tree);
        }
        if calls.send(Call(call.member, call.signature, call.body)).is_err() {
            return;
        }
    }
}

fn answer(bus: &mut Bus, call: &Incoming, tree: &Path) {
    let mut body = Decoder::new(&call.body);
    match call.member.as_str() {
        "Get" => {
            let interface = body.string().unwrap();
            assert_eq!(interface, "org.freedesktop.systemd1.Manager");
            let value = match body.string().unwrap() {
                "Version" => "252.38-1~deb12u1",
                "ControlGroup" => "/user.slice/user-1000.slice/user@1000.service",
                other => panic!("property {other}"),
            };
            reply(bus, call, METHOD_RETURN, "v", |out| {
                Value::Str(value.into()).encode_variant(out);
            });
        }
        "StartTransientUnit" => {
            let name = body.string().unwrap().to_owned();
            let dir = tree.join("a.slice/a-b.slice").join(&name);
            std::fs::create_dir_all(&dir).unwrap();
            let properties = decode_properties(&call.body);
            let (_, pids) = properties.iter().find(|(name, _)| name == "PIDs").unwrap();
            let Value::U32s(pids) = pids else { panic!("{pids:?}") };
            std::fs::write(dir.join("cgroup.procs"), pids[0].to_string()).unwrap();
            job(bus, call, &name);
        }
        "StopUnit" => {
            let name = body.string().unwrap().to_owned();
            job(bus, call, &name);
        }
        _ => reply(bus, call, METHOD_RETURN, "", |_| {}),
    }
}

/// Answers with a job and reports its end, and that of another job first.
fn job(bus: &mut Bus, call: &Incoming, unit: &str) {
    for (job, result) in [("/job/1", "failed"), ("/job/2", "done")] {
        if job == "/job/2" {
            reply(bus, call, METHOD_RETURN, "o", |out| out.string(job));
        }
        let mut out = Encoder::default();
        out.u32(7);
        out.string(job);
        out.string(unit);
        out.string(result);
        let signal = Outgoing {
            kind: SIGNAL,
            path: "/org/freedesktop/systemd1",
            interface: "org.freedesktop.systemd1.Manager",
            member: "JobRemoved",
            signature: "uoss",
            body: out.into_bytes(),
            ..Outgoing::default()
        };
        bus.post(signal).unwrap();
    }
}

fn reply(bus: &mut Bus, call: &Incoming, kind: u8, signature: &str, fill: impl Fn(&mut Encoder)) {
    let mut out = Encoder::default();
    fill(&mut out);
    let error_name = if kind == ERROR { "org.freedesktop.systemd1.UnitExists" } else { "" };
    let message = Outgoing {
        kind,
        error_name,
        destination: &call.sender,
        reply_serial: call.serial,
        signature,
        body: out.into_bytes(),
        ..Outgoing::default()
    };
    bus.post(message).unwrap();
}

/// Of StartTransientUnit (`ssa(sv)…`) and SetUnitProperties (`sba(sv)`).
fn decode_properties(body: &[u8]) -> Vec<(String, Value)> {
    let mut body = Decoder::new(body);
    body.string().unwrap();
    let second = body;
    if body.string().is_err() {
        body = second;
        body.u32().unwrap();
    }
    decode_list(&mut body)
}

fn decode_list(body: &mut Decoder<'_>) -> Vec<(String, Value)> {
    let mut list = body.array(8).unwrap();
    let mut out = Vec::new();
    while !list.is_empty() {
        list.align(8).unwrap();
        let name = list.string().unwrap().to_owned();
        let value = match list.signature().unwrap() {
            "b" => Value::Bool(list.u32().unwrap() == 1),
            "t" => Value::U64(list.u64().unwrap()),
            "s" => Value::Str(list.string().unwrap().to_owned()),
            "au" => {
                let mut array = list.array(4).unwrap();
                let mut values = Vec::new();
                while !array.is_empty() {
                    values.push(array.u32().unwrap());
                }
                Value::U32s(values)
            }
            "ay" => {
                let mut array = list.array(1).unwrap();
                let mut values = Vec::new();
                while !array.is_empty() {
                    values.push(array.byte().unwrap());
                }
                Value::Bytes(values)
            }
            "a(ss)" => {
                let mut array = list.array(8).unwrap();
                let mut values = Vec::new();
                while !array.is_empty() {
                    array.align(8).unwrap();
                    let first = array.string().unwrap().to_owned();
                    values.push((first, array.string().unwrap().to_owned()));
                }
                Value::Pairs(values)
            }
            other => panic!("{name} has type {other}"),
        };
        out.push((name, value));
    }
    out
}

/// The next call that is not about the connection itself.
fn next(calls: &Receiver<Call>) -> Call {
    loop {
        let call = calls.recv_timeout(Duration::from_secs(30)).unwrap();
        if !matches!(call.0.as_str(), "Subscribe" | "Get") {
            return call;
        }
    }
}

struct Tree(PathBuf);

impl Drop for Tree {
    fn drop(&mut self) {
        for dir in ["a.slice/a-b.slice", "a.slice", ""] {
            let _ = std::fs::remove_dir(self.0.join(dir));
        }
    }
}

fn v2_tree() -> Option<Tree> {
    let base = match Layout::detect().unwrap().kind() {
        LayoutKind::Unified => "/sys/fs/cgroup",
        LayoutKind::Hybrid => "/sys/fs/cgroup/unified",
        LayoutKind::Legacy => {
            println!("NOT TESTED: the systemd driver, for want of a v2 tree");
            return None;
        }
    };
    let path = Path::new(base).join(format!("caisson-test-{}-systemd", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    Some(Tree(path))
}

#[test]
fn unit_from_start_to_stop() {
    let (Some(daemon), Some(tree)) = (Daemon::start(), v2_tree()) else { return };
    let (sender, calls) = channel();
    let (address, path) = (daemon.address(), tree.0.clone());
    let server = std::thread::spawn(move || fake_systemd(&address, &path, &sender));
    assert_eq!(next(&calls).0, "ready");

    let config = CgroupConfig {
        id: "c1",
        cgroups_path: Some("a-b.slice:pre:c1"),
        driver: Driver::Systemd,
        rootless: false,
        scope_prefix: "caisson",
    };
    let layout = Layout::unified_at(&tree.0).unwrap();
    let mut cgroup = Cgroup::create_in(layout, &config, None).unwrap();
    assert_eq!(cgroup.path().unwrap(), "/a.slice/a-b.slice/pre-c1.scope");
    assert!(!cgroup.exists());
    cgroup.unit.as_mut().unwrap().address = Some(daemon.address());

    let mut child = Command::new("/bin/sleep").arg("100").spawn().unwrap();
    let pid = Pid::from_child(&child);
    let resources = r#"{"devices":[{"allow":false,"access":"rwm"}]}"#;
    let resources: Resources = serde_json::from_str(resources).unwrap();
    let extra = UnitProperty::from_annotation("org.systemd.property.TimeoutStopSec", "5");
    cgroup.start_unit(pid, Some(&resources), &[extra.unwrap().unwrap()]).unwrap();
    assert_eq!(cgroup.pids(true).unwrap(), [pid]);

    assert_eq!(next(&calls).0, "StartTransientUnit", "refused: the unit exists");
    let reset = next(&calls);
    assert_eq!((reset.0.as_str(), reset.1.as_str()), ("ResetFailedUnit", "s"));
    let start = next(&calls);
    assert_eq!((start.0.as_str(), start.1.as_str()), ("StartTransientUnit", "ssa(sv)a(sa(sv))"));
    check_start(&start.2, child.id());

    let limit = r#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#;
    let limit: Resources = serde_json::from_str(limit).unwrap();
    // Without a memory controller the file is refused, after systemd was asked.
    let has_memory = tree.0.join("a.slice/a-b.slice/pre-c1.scope/memory.max").exists();
    assert_eq!(cgroup.update(&limit).is_ok(), has_memory);
    let set = next(&calls);
    assert_eq!((set.0.as_str(), set.1.as_str()), ("SetUnitProperties", "sba(sv)"));
    let mut body = Decoder::new(&set.2);
    assert_eq!((body.string().unwrap(), body.u32().unwrap()), ("pre-c1.scope", 1));
    assert_eq!(decode_list(&mut body), [("MemoryMax".to_owned(), Value::U64(4096))]);

    cgroup.unit.as_ref().unwrap().attach("sub", 42).unwrap();
    let attach = next(&calls);
    assert_eq!((attach.0.as_str(), attach.1.as_str()), ("AttachProcessesToUnit", "ssau"));

    cgroup.kill_all(Signal::KILL).unwrap();
    child.wait().unwrap();
    cgroup.delete().unwrap();
    assert_eq!(next(&calls).0, "StopUnit");
    assert_eq!(next(&calls).0, "ResetFailedUnit");
    assert!(!cgroup.exists());

    let rootless = CgroupConfig { rootless: true, cgroups_path: None, ..config };
    let user = super::unit::Unit::plan_at(
        crate::config::unit_path(&rootless).unwrap(),
        &rootless,
        Some(daemon.address()),
    );
    assert_eq!(
        user.unwrap().cgroup_path(),
        "user.slice/user-1000.slice/user@1000.service/user.slice/caisson-c1.scope"
    );
    drop(daemon);
    server.join().unwrap();
}

fn check_start(body: &[u8], pid: u32) {
    let properties = decode_properties(body);
    let value = |name: &str| {
        let found: Vec<_> = properties.iter().filter(|(n, _)| n == name).map(|(_, v)| v).collect();
        (*found.last().unwrap_or_else(|| panic!("no {name} in {properties:?}"))).clone()
    };
    assert_eq!(value("Slice"), Value::Str("a-b.slice".into()));
    assert_eq!(value("PIDs"), Value::U32s(vec![pid]));
    assert_eq!(value("TimeoutStopUSec"), Value::U64(5_000_000));
    assert_eq!(value("DevicePolicy"), Value::Str("strict".into()));
    assert!(matches!(value("DeviceAllow"), Value::Pairs(list) if list.len() == 11));
    assert_eq!(value("DefaultDependencies"), Value::Bool(false));
    for name in ["Delegate", "MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"]
    {
        assert_eq!(value(name), Value::Bool(true), "{name}");
    }
}

#[test]
fn no_bus_is_told() {
    let config = CgroupConfig {
        id: "x",
        cgroups_path: None,
        driver: Driver::Systemd,
        rootless: false,
        scope_prefix: "caisson",
    };
    let path = crate::config::unit_path(&config).unwrap();
    let address = "unix:path=/nonexistent/bus".to_owned();
    let unit = super::unit::Unit::plan_at(path, &config, Some(address)).unwrap();
    let error = unit.stop().unwrap_err().to_string();
    assert!(error.contains("caisson-x.scope") && error.contains("/nonexistent/bus"), "{error}");
}

#[test]
fn hostile_messages_are_refused() {
    use super::wire::{decode, message_length};
    let good = Outgoing {
        kind: METHOD_RETURN,
        serial: 1,
        reply_serial: 9,
        signature: "s",
        body: b"\x01\0\0\0a\0".to_vec(),
        ..Outgoing::default()
    };
    let bytes = good.encode();
    assert_eq!(message_length(&bytes), Ok(Some(bytes.len())));
    let decoded = decode(&bytes).unwrap();
    assert_eq!((decoded.reply_serial, decoded.signature.as_str()), (9, "s"));
    for at in 0..bytes.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            if let Ok(Some(length)) = message_length(&damaged)
                && length <= damaged.len()
            {
                let _ = decode(&damaged[..length]).map(|m| Decoder::new(&m.body).string().is_ok());
            }
        }
        assert!(message_length(&bytes[..at]).is_ok());
        let _ = decode(&bytes[..at]);
    }
    let mut huge = bytes;
    huge[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert!(message_length(&huge).is_err());
}
