//! No process in a container is more than was asked for: identity, groups,
//! capabilities, filter, keyring (the classes of crun CVE-2026-30892 and
//! CVE-2022-27650, runc CVE-2022-29162). Needs root, setpriv and perl (both
//! essential in Debian).

#![cfg(test)]

mod attacker;
mod bundle;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use attacker::after;
use bundle::{Bundle, proc_field};
use serde_json::{Value, json};

const NO_ID: [&str; 22] = [
    "-1",
    "-0",
    "+0",
    "+1",
    "4294967295",
    "4294967296",
    "4294967297",
    "18446744073709551616",
    "99999999999999999999999999",
    "0x0",
    "1e3",
    "1.0",
    " 0",
    "0 ",
    "root",
    ":",
    ":0",
    "0:",
    "0:-1",
    "0:4294967296",
    "0:+5",
    "0:0:0",
];

#[test]
fn exec_refuses_what_is_no_id() {
    let bundle = Bundle::sleeper();
    bundle.started();
    for user in NO_ID {
        let ended = bundle.exec_with(&["--user", user], &["touch", "/tmp/ran"]);
        assert_ne!(ended.code(), 0, "--user {user:?}");
        let split = format!("--user={user}");
        assert_ne!(bundle.exec_with(&[&split], &["touch", "/tmp/ran"]).code(), 0, "{split:?}");
    }
    for group in ["-1", "4294967296", "18446744073709551617", "0x1", ""] {
        let ended = bundle.exec_with(&["--additional-gids", group], &["touch", "/tmp/ran"]);
        assert_ne!(ended.code(), 0, "--additional-gids {group:?}");
    }
    assert!(!bundle.rootfs().join("tmp/ran").exists());
}

#[test]
fn files_with_ids_that_are_none_are_refused() {
    let none = json!(u32::MAX);
    let bad =
        [json!(-1), none, json!(1_i64 << 32), json!(1.5), json!("0"), json!(null), json!(1e30)];
    let running = Bundle::sleeper();
    running.started();
    for id in &bad {
        for field in ["uid", "gid", "additionalGids"] {
            let mut bundle = Bundle::script("touch /tmp/ran");
            let value = if field == "additionalGids" { json!([id]) } else { id.clone() };
            if value.is_null() {
                continue;
            }
            bundle.config["process"]["user"][field] = value;
            assert_ne!(bundle.run().code(), 0, "{field} {id}");
            assert!(!bundle.rootfs().join("tmp/ran").exists());
            let file = bundle.path().join("process.json");
            let mut process = bundle.config["process"].clone();
            process["args"] = json!(["touch", "/tmp/ran"]);
            std::fs::write(&file, process.to_string()).unwrap();
            let args = ["exec", "--process", file.to_str().unwrap(), &running.id];
            assert_ne!(running.call(&args).code(), 0, "exec: {field} {id}");
        }
    }
    assert!(!running.rootfs().join("tmp/ran").exists());
}

/// The runtime's own groups and inheritable capabilities end at the container.
#[test]
fn nothing_of_the_callers_identity_comes_through() {
    let mut bundle = Bundle::script("cat /proc/self/status");
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    bundle.write_config();
    let path = bundle.path().to_str().unwrap().to_owned();
    let caller = "set -- setpriv --groups 4,27 --inh-caps +net_raw,+sys_admin \"$@\"";
    let status = bundle.finish(after(&bundle, caller, &["run", "-b", &path, &bundle.id])).ok();
    assert_plain(&status.stdout());
    let running = Bundle::sleeper();
    running.started();
    for flags in [vec![], vec!["--cap", "CAP_NET_RAW"], vec!["--cap", "CAP_SYS_ADMIN"]] {
        let mut args = vec!["exec"];
        args.extend(&flags);
        args.extend([running.id.as_str(), "cat", "/proc/self/status"]);
        let status = running.finish(after(&running, caller, &args)).ok().stdout();
        assert_plain(&status);
        let bits = match flags.get(1) {
            None => 0x2000_0420,
            Some(&"CAP_NET_RAW") => 0x2000_0420 | 1 << 13,
            Some(_) => 0x2000_0420 | 1 << 21,
        };
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(capabilities(&status, set), bits, "{flags:?} {set}");
        }
    }
}

#[track_caller]
fn assert_plain(status: &str) {
    assert_eq!(proc_field(status, "Groups"), "", "{status}");
    assert_eq!(capabilities(status, "CapInh"), 0);
    assert_eq!(capabilities(status, "CapAmb"), 0);
    assert_eq!(proc_field(status, "Uid"), "0\t0\t0\t0");
}

#[track_caller]
fn capabilities(status: &str, set: &str) -> u64 {
    u64::from_str_radix(&proc_field(status, set), 16).unwrap()
}

/// Prints the status of the process that plays it: a program of its own, as
/// busybox gives up what the set-user-id bit gives.
#[test]
#[ignore = "a role inside a container"]
fn inside() {
    if attacker::role() == "status" {
        println!("\n{}", std::fs::read_to_string("/proc/self/status").unwrap());
    }
}

fn set_user_id(no_new_privileges: bool) -> String {
    let mut bundle = Bundle::new();
    let program = attacker::install(&bundle);
    std::fs::set_permissions(program, PermissionsExt::from_mode(0o4755)).unwrap();
    attacker::play(&mut bundle, "status");
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
    bundle.run().ok().stdout()
}

#[test]
fn programs_of_root_gain_nothing_with_no_new_privileges() {
    let status = set_user_id(true);
    assert_eq!(proc_field(&status, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(proc_field(&status, "NoNewPrivs"), "1");
    let status = set_user_id(false);
    assert_eq!(proc_field(&status, "Uid"), "1000\t0\t0\t0", "the attack itself works");
    assert_eq!(capabilities(&status, "CapEff"), 0x2000_0420, "no more than the bounding set");
    assert_eq!(capabilities(&status, "CapBnd"), 0x2000_0420);
}

fn without_mkdir() -> Value {
    let names = ["mkdir", "mkdirat"];
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 100}]})
}

#[test]
fn the_filter_is_in_force_before_and_in_every_program() {
    for no_new_privileges in [true, false] {
        for user in [0, 1000] {
            let probe = "mkdir /tmp/made; grep Seccomp: /proc/self/status";
            let mut bundle = Bundle::script(&format!("{probe}; sleep 1000"));
            let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "mkdir /tmp/made-by-hook || exit 0"]}]);
            bundle.config["hooks"] = json!({"startContainer": hook});
            bundle.config["linux"]["seccomp"] = without_mkdir();
            bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            bundle.config["process"]["user"] = json!({"uid": user, "gid": user});
            let created = bundle.started();
            bundle::eventually("it looks", || created.stdout().contains("Seccomp:"));
            assert_eq!(created.stdout().trim(), "Seccomp:\t2");
            let executed = bundle.exec(&["sh", "-c", probe]).ok();
            assert_eq!(executed.stdout().trim(), "Seccomp:\t2", "exec'd");
            for made in ["made", "made-by-hook"] {
                assert!(!bundle.rootfs().join("tmp").join(made).exists(), "{made}");
            }
        }
    }
}

/// Hooks of the container are the image's programs: they run with no more than
/// the container's process has.
#[test]
fn hooks_inside_have_the_users_identity() {
    let mut bundle = Bundle::new();
    let hook =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", "cat /proc/self/status >/tmp/hook"]}]);
    bundle.config["hooks"] = json!({"startContainer": hook});
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1001});
    bundle.run().ok();
    let status = std::fs::read_to_string(bundle.rootfs().join("tmp/hook")).unwrap();
    assert_eq!(proc_field(&status, "Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(proc_field(&status, "Gid"), "1001\t1001\t1001\t1001");
    assert_eq!(proc_field(&status, "Groups"), "");
    assert_eq!(proc_field(&status, "NoNewPrivs"), "1");
    assert_eq!(capabilities(&status, "CapBnd"), 0x2000_0420);
    assert_eq!(capabilities(&status, "CapInh"), 0);
    assert_eq!(capabilities(&status, "CapEff") & !0x2000_0420, 0);
}

/// Another container's root knows the name that a keyring would get, lays one
/// out under it, opens it to all, and waits for secrets.
#[test]
fn keyrings_laid_out_by_others_are_not_joined() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["args"] = json!(["sleep", "1000"]);
    let text = format!(
        "$n = '_ses.{}'; $r = syscall(250, 1, $n); syscall(250, 5, $r, 0x3f3f3f3f); \
         $| = 1; print \"$r\\n\"; sleep 60;",
        bundle.id
    );
    let mut attacker =
        Command::new("perl").args(["-e", &text]).stdout(Stdio::piped()).spawn().unwrap();
    let mut serial = String::new();
    let mut out = std::io::BufReader::new(attacker.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut serial).unwrap();
    let serial: i32 = serial.trim().parse().unwrap();
    let users = || {
        let keys = std::fs::read_to_string("/proc/keys").unwrap();
        let line = keys.lines().find(|line| line.starts_with(&format!("{serial:08x} ")));
        line.unwrap().split_whitespace().nth(2).unwrap().to_owned()
    };
    let before = users();
    bundle.started();
    bundle.exec_with(&["-d"], &["sleep", "1000"]).ok();
    let after = users();
    let _ = attacker.kill();
    let _ = attacker.wait();
    assert_eq!(before, after, "the container joined another's keyring");
}

/// Root of a user namespace is nobody outside.
#[test]
fn the_hosts_files_are_nobodys_in_a_user_namespace() {
    let mut bundle = Bundle::script(
        "cat /mnt/secret && echo READ; echo x >/mnt/new && echo WROTE; chown 0 /mnt/secret && echo TOOK; \
         chmod 777 /mnt/secret && echo OPENED; mknod /tmp/sda b 8 0 && echo MADE; stat -c %u /mnt/secret",
    );
    let host = bundle.path().join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("secret"), "s").unwrap();
    std::fs::set_permissions(host.join("secret"), PermissionsExt::from_mode(0o600)).unwrap();
    bundle.user_namespace(300_000);
    bundle.capabilities(&attacker::ALL);
    bundle.mount(
        json!({"destination": "/mnt", "type": "bind", "source": host, "options": ["rbind"]}),
    );
    let said = bundle.run().ok().stdout();
    assert_eq!(said.trim(), "65534", "the overflow uid, and nothing else");
}

/// Where nodes can't be made, the host's are shown, but only the very ones
/// that were asked for.
#[test]
fn devices_are_shown_only_if_they_are_the_ones_named() {
    for (kind, major, minor) in [("c", 1, 5), ("b", 1, 3), ("c", 1, 3)] {
        let mut bundle = Bundle::new();
        bundle.user_namespace(300_000);
        let device = json!({"path": "/dev/null", "type": kind, "major": major, "minor": minor});
        bundle.config["linux"]["devices"] = json!([device]);
        let ended = bundle.run();
        let right = (kind, major, minor) == ("c", 1, 3);
        assert_eq!(ended.code() == 0, right, "{device}: {}", ended.stderr());
    }
}

/// Processes of the container see no more of the runtime than what they can
/// end: the one that joins them. The runtime outside answers, and lives.
#[test]
fn signals_do_not_reach_the_runtime() {
    use std::os::unix::process::ExitStatusExt as _;
    let mut bundle =
        Bundle::script("trap '' TERM HUP INT; while :; do kill -KILL -1; kill -TERM -1; done");
    bundle.capabilities(&["CAP_KILL"]);
    bundle.started();
    for _ in 0..50 {
        let status =
            bundle.command(&["exec", &bundle.id, "sleep", "0.01"]).stderr(Stdio::null()).status();
        let status = status.unwrap();
        assert!(status.signal().is_none(), "the runtime was killed: {status}");
    }
}
