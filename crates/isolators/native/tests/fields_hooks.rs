//! `hooks` of `config.json`: order, place, state, environment, time-outs and
//! failures.

#![cfg(test)]

mod bundle;

use std::time::{Duration, Instant};

use bundle::{Bundle, Census, eventually};
use serde_json::{Value, json};

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that runs this text; on the host `$B` is the bundle's directory.
fn hook(bundle: &Bundle, text: &str) -> Value {
    let b = format!("B={}", bundle.path().display());
    json!([{"path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/bin:/usr/bin", b]}])
}

/// Runs in the container's root after pivot_root: `/bin/sh` is busybox's.
fn log(bundle: &Bundle, name: &str) -> String {
    std::fs::read_to_string(bundle.path().join(name)).unwrap_or_default()
}

#[test]
fn hooks_run_in_order_with_the_state_on_standard_input() {
    let mut bundle = Bundle::sleeper();
    bundle.config["annotations"] = json!({"key": "value"});
    for kind in KINDS {
        let dir = if kind == "startContainer" { "/shared" } else { "$B/shared" };
        bundle.config["hooks"][kind] =
            hook(&bundle, &format!("echo {kind} >> {dir}/order; cat > {dir}/{kind}"));
    }
    let shared = bundle.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    bundle.mount(json!({"destination": "/shared", "source": shared, "options": ["bind"]}));
    let order = || log(&bundle, "shared/order").lines().map(str::to_owned).collect::<Vec<_>>();
    bundle.create().ok();
    assert_eq!(order(), KINDS[..3]);
    let pid = bundle.pid();
    bundle.start().ok();
    assert_eq!(order(), KINDS[..5]);
    bundle.kill("KILL").ok();
    bundle.await_status("stopped");
    assert_eq!(order(), KINDS[..5]);
    bundle.delete().ok();
    assert_eq!(order(), KINDS);
    let expected = [
        ("prestart", &["creating", "created"][..], pid),
        ("createRuntime", &["creating", "created"], pid),
        ("createContainer", &["creating", "created"], pid),
        ("startContainer", &["created", "starting"], 1),
        ("poststart", &["running"], pid),
        ("poststop", &["stopped"], 0),
    ];
    for (kind, statuses, pid) in expected {
        let state: Value = serde_json::from_str(&log(&bundle, &format!("shared/{kind}"))).unwrap();
        assert_eq!(state["id"], bundle.id, "{kind}");
        let status = state["status"].as_str().unwrap();
        assert!(statuses.contains(&status), "{kind}: {status}");
        let own = state["pid"].as_i64().unwrap_or(0);
        let inside = matches!(kind, "createContainer" | "startContainer");
        assert!(own == i64::from(pid) || inside && own == 1, "{kind}: pid {own}, not {pid}");
        assert_eq!(state["bundle"], json!(bundle.path()), "{kind}");
        assert_eq!(state["annotations"]["key"], "value", "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}");
    }
}

#[test]
fn hooks_of_the_container_start_in_its_root() {
    let mut bundle = Bundle::new();
    let text = "test -f ./bin/busybox && : > ./mark";
    bundle.config["hooks"]["createContainer"] = hook(&bundle, text);
    bundle.run().ok();
    assert!(bundle.rootfs().join("mark").exists());
}

#[test]
fn path_args_and_env_are_those_of_the_hook() {
    let mut bundle = Bundle::new();
    bundle.env.push(("LEAK".to_owned(), "1".to_owned()));
    let script = bundle.path().join("hook");
    let out = bundle.path().join("out");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\n{{ cat /proc/$$/cmdline | tr '\\0' '|'; echo; env; }} > {}\n",
            out.display()
        ),
    )
    .unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.config["hooks"]["createRuntime"] = json!([{"path": script, "args": ["zero", "one two"], "env": ["A=b c", "PATH=/bin:/usr/bin"]}]);
    bundle.run().ok();
    let text = log(&bundle, "out");
    assert!(text.contains("|one two|"), "{text}");
    assert!(text.contains("A=b c\n") && !text.contains("LEAK"), "{text}");
}

#[test]
fn hooks_run_where_they_belong() {
    let mut bundle = Bundle::sleeper();
    let shared = bundle.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    bundle.mount(json!({"destination": "/shared", "source": shared, "options": ["bind"]}));
    let report = "for n in mnt uts net; do readlink /proc/self/ns/$n; done; ls -d /shared";
    for kind in KINDS {
        let dir = if kind == "startContainer" { "/shared" } else { "$B/shared" };
        bundle.config["hooks"][kind] =
            hook(&bundle, &format!("{{ {report}; }} > {dir}/{kind} 2>&1; true"));
    }
    bundle.started();
    let inside = bundle.exec(&["sh", "-c", report]).lines();
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    let own: Vec<String> = ["mnt", "uts", "net"]
        .map(|n| std::fs::read_link(format!("/proc/self/ns/{n}")).unwrap().display().to_string())
        .to_vec();
    for kind in KINDS {
        let seen: Vec<String> =
            log(&bundle, &format!("shared/{kind}")).lines().map(str::to_owned).collect();
        let container = matches!(kind, "createContainer" | "startContainer");
        assert_eq!(&seen[..3], if container { &inside[..3] } else { &own[..3] }, "{kind}");
        assert_eq!(seen[3] == "/shared", kind == "startContainer", "{kind}: its root: {seen:?}");
    }
}

#[test]
fn a_failing_hook_before_the_start_fails_the_creation() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = Bundle::sleeper();
        bundle.config["hooks"][kind] = hook(&bundle, "echo why it failed >&2; exit 3");
        let before = Census::take(&bundle);
        bundle.create().refused(&[kind, "hook", "#0", "exit status 3", "why it failed"]);
        assert_eq!(Census::take(&bundle), before, "{kind}");
        bundle.config["hooks"][kind] = hook(&bundle, "kill -9 $$");
        bundle.create().refused(&[kind, "signal 9"]);
        bundle.config["hooks"][kind] = json!([{"path": "/no/such/hook"}]);
        bundle.create().refused(&[kind, "/no/such/hook"]);
    }
}

#[test]
fn a_failing_start_container_hook_fails_the_start() {
    let mut bundle = Bundle::script("echo ran");
    bundle.config["hooks"]["startContainer"] = hook(&bundle, "echo reason >&2; exit 4");
    let created = bundle.create().ok();
    bundle.start().refused(&["startContainer", "exit status 4", "reason"]);
    eventually("stopped", || bundle.status() == "stopped");
    assert_eq!(created.stdout(), "");
}

/// runtime.md, "Lifecycle", step 9.
#[test]
fn a_failing_poststart_hook_ends_the_container() {
    let mut bundle = Bundle::sleeper();
    let mut hooks = hook(&bundle, "echo reason >&2; exit 5").as_array().unwrap().clone();
    hooks.extend(hook(&bundle, "echo x >> $B/further").as_array().unwrap().clone());
    bundle.config["hooks"]["poststart"] = json!(hooks);
    bundle.config["hooks"]["poststop"] = hook(&bundle, "echo x >> $B/poststop");
    let before = Census::take(&bundle);
    bundle.create().ok();
    bundle.start().refused(&["poststart", "hook", "#0", "exit status 5", "reason"]);
    assert_eq!(Census::take(&bundle), before);
    bundle.run().refused(&["poststart", "exit status 5"]);
    assert_eq!(Census::take(&bundle), before);
    assert_eq!((log(&bundle, "further"), log(&bundle, "poststop")), ("".into(), "x\nx\n".into()));
}

#[test]
fn failing_poststop_hooks_are_warned_of() {
    let mut bundle = Bundle::new();
    let mut hooks = hook(&bundle, "exit 5").as_array().unwrap().clone();
    hooks.extend(hook(&bundle, "echo x >> $B/poststop").as_array().unwrap().clone());
    bundle.config["hooks"]["poststop"] = json!(hooks);
    let ended = bundle.run().ok();
    assert!(ended.stderr().contains("poststop"), "{}", ended.stderr());
    // The hooks after the failed one have run.
    assert_eq!(log(&bundle, "poststop"), "x\n");
}

/// As in runc: the environment of who calls it, and inside, of the program.
#[test]
fn hooks_without_an_environment_have_their_surroundings() {
    let mut bundle = Bundle::new();
    bundle.env.push(("OUTSIDE".to_owned(), "1".to_owned()));
    let shared = bundle.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    bundle.mount(json!({"destination": "/shared", "source": shared, "options": ["bind"]}));
    for kind in KINDS {
        let dir = if kind == "startContainer" { "/shared" } else { shared.to_str().unwrap() };
        let text = format!("env > {dir}/{kind}");
        bundle.config["hooks"][kind] = json!([{"path": "/bin/sh", "args": ["sh", "-c", text]}]);
    }
    bundle.run().ok();
    let container = format!("CONTAINER={}\n", bundle.id);
    for kind in KINDS {
        let inside = kind == "startContainer";
        let env = log(&bundle, &format!("shared/{kind}"));
        assert_eq!(env.contains("OUTSIDE=1\n"), !inside, "{kind}: {env}");
        assert_eq!(env.contains(&container), inside, "{kind}: {env}");
    }
}

#[test]
fn a_timeout_beyond_the_clocks_end_is_none() {
    let mut bundle = Bundle::new();
    bundle.config["hooks"]["createRuntime"] = hook(&bundle, "exit 0");
    bundle.config["hooks"]["createRuntime"][0]["timeout"] = json!(i64::MAX);
    bundle.run().ok();
}

#[test]
fn a_hook_that_hangs_is_killed_after_its_timeout() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = Bundle::sleeper();
        bundle.config["hooks"][kind] = hook(&bundle, "exec sleep 60");
        bundle.config["hooks"][kind][0]["timeout"] = json!(1);
        let before = Census::take(&bundle);
        let clock = Instant::now();
        bundle.create().refused(&[kind, "timeout", "1s"]);
        assert!(clock.elapsed() < Duration::from_secs(20), "{kind}");
        assert_eq!(Census::take(&bundle), before, "{kind}");
    }
    for kind in ["startContainer", "poststart", "poststop"] {
        let mut bundle = Bundle::sleeper();
        bundle.config["hooks"][kind] = hook(&bundle, "exec sleep 60");
        bundle.config["hooks"][kind][0]["timeout"] = json!(1);
        bundle.create().ok();
        let started = bundle.start();
        let deleted = bundle.call(&["delete", "--force", &bundle.id]).ok();
        let said = started.stderr() + &deleted.stderr();
        assert!(said.contains("timeout of 1s"), "{kind}: {said}");
    }
}

#[test]
fn a_hook_that_ignores_its_input_does_no_harm() {
    let mut bundle = Bundle::new();
    bundle.config["annotations"] = json!({"large": "x".repeat(300_000)});
    bundle.config["hooks"]["createRuntime"] = hook(&bundle, "exit 0");
    bundle.config["hooks"]["poststop"] = hook(&bundle, "wc -c > $B/size");
    bundle.run().ok();
    assert!(log(&bundle, "size").trim().parse::<usize>().unwrap() > 300_000);
}

/// The hook may have ended before its input is written: no time for that is
/// left when there are many.
#[test]
fn hooks_that_end_at_once_do_no_harm() {
    let mut bundle = Bundle::new();
    let hooks: Vec<Value> = (0..200).map(|_| json!({"path": "/bin/true"})).collect();
    bundle.config["annotations"] = json!({"large": "x".repeat(50_000)});
    bundle.config["hooks"]["createRuntime"] = json!(hooks);
    bundle.run().ok();
}

#[test]
fn hooks_that_talk_a_lot_are_not_held_up() {
    let mut bundle = Bundle::new();
    let text = "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2";
    bundle.config["hooks"]["createRuntime"] = hook(&bundle, text);
    bundle.config["hooks"]["createRuntime"][0]["timeout"] = json!(20);
    bundle.run().ok();
    let mut bundle = Bundle::new();
    bundle.config["hooks"]["createRuntime"] = hook(&bundle, &format!("{text}; exit 3"));
    bundle.run().refused(&["exit status 3", "xxxxxxxx"]);
}
