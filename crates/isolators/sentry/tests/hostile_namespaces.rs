//! Namespaces, filters and listeners in the hands of a guest that wants more than it was
//! given.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::os::unix::fs::MetadataExt;

use container::Container;
use sandbox::{Sandbox, until};
use serde_json::json;

fn intrudes(words: &[&str], says: &str) {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("intruder", &["-static", "-pthread"]);
    let script = format!("/bin/intruder {}; echo alive", words.join(" "));
    let ended = sandbox.run(&["/bin/sh", "-c", &script]);
    let expected = format!("{says}done\nalive\n");
    assert_eq!((ended.stdout.as_str(), ended.code), (expected.as_str(), 0), "{ended:?}");
}

/// What the program says in a container with something hidden at `/hidden` and a volume at
/// `/fixed` that is only read.
fn guarded(what: &str, user: &str, expected: &str) {
    if !sandbox::possible() {
        return;
    }
    let volume = tempfile::tempdir().unwrap();
    let container = Container::new(&["/bin/intruder", what, user], |config| {
        config["linux"]["maskedPaths"] =
            json!(["/hidden", "/deep/hidden", "/own/hidden", "/secret", "/proc/uptime"]);
        config["linux"]["readonlyPaths"] = json!(["/proc/sys", "/proc/loadavg", "/proc/bus"]);
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/fixed", "source": volume.path(), "options": ["rbind", "ro"],
        }));
        let able = json!(["CAP_SETUID", "CAP_SETGID"]);
        config["process"]["capabilities"] =
            json!({"bounding": able, "permitted": able, "effective": able});
    });
    container.sandbox.compile("intruder", &["-static", "-pthread"]);
    for name in ["hidden", "fixed", "deep", "deep/hidden", "own", "own/hidden"] {
        std::fs::create_dir(container.sandbox.path(name)).unwrap();
    }
    let files = ["hidden/secret", "deep/hidden/secret", "deep/plain", "secret"];
    for name in files.into_iter().chain(["own/hidden/secret", "own/plain"]) {
        std::fs::write(container.sandbox.path(name), "secret").unwrap();
    }
    let user_id = user.parse().ok();
    std::os::unix::fs::chown(container.sandbox.path("own"), user_id, user_id).unwrap();
    let ended = container.call(&["run"], &[]);
    assert_eq!(ended.stdout, expected, "user {user}: {}", ended.stderr);
    assert_eq!(std::fs::read_dir(volume.path()).unwrap().count(), 0);
}

/// What a configuration hides from a container, and has it only read, is so for root of a
/// user namespace.
#[test]
fn what_is_hidden_stays_hidden() {
    for user in ["0", "1000"] {
        let expected = "enter 0\numount -1 -1\nmove -1\nbelow -1\nall 0\nthere -1 -1\nwrite -1\n\
                        write there -1\nwhole -1\nmade -1\nproc -1\ndevice -1\nsecret -1\n\
                        roots 0\nagain -1\numount -1\nsecret -1\ndone\n";
        guarded("hidden", user, expected);
    }
}

/// Mounts and roots of another namespace are not changed by way of descriptors, and no tree
/// leads back to itself.
#[test]
fn mounts_of_others_are_left_alone() {
    for user in ["0", "1000"] {
        let expected = "enter 0\nremount -1 EINVAL\ntmpfs 0\nroot 0\npivot -1 EINVAL\n\
                        above -1 EINVAL\nmounts 1\nthere 0 -1\nmade -1 EROFS\ndone\n";
        guarded("strangers", user, expected);
    }
}

/// Nor does it show when what hides it ends, to who still has a descriptor.
#[test]
fn what_was_hidden_stays_hidden_from_descriptors() {
    for user in ["0", "1000"] {
        let expected = "enter 0\nall 0\nbelow -1 -1\numount 0\nbind -1 -1\nname -1\nfile -1 -1\n\
                        link -1 -1\nother 1 1\nmade -1\npivot 0\nbefore -1\numount 0\nroot -1 -1\n\
                        up -1\ndone\n";
        guarded("remains", user, expected);
        guarded("ends", user, "ends 1\nother 1\ndone\n");
        guarded("races", user, "enter 0\ndone\n");
    }
}

/// Nor by trees of mounts that descriptors hold.
#[test]
fn what_is_hidden_stays_hidden_in_detached_trees() {
    for user in ["0", "1000"] {
        let expected = "enter 0\nbelow -1\nall 0\nsecret -1\nmove -1\nwrite -1\nwrite all -1\n\
                        one -1\nclosed -1 1\nmade -1\nattach 0\numount -1\nmove -1\nwrite -1\n\
                        rw 0\nchange -1\nmade -1\nsecret -1 -1\ndone\n";
        guarded("detached", user, expected);
    }
}

/// No copy of mounts is without what hides something, whoever may search the way to it.
#[test]
fn copies_of_mounts_hide_the_same() {
    for user in ["0", "1000"] {
        let expected = "enter 0\ncaps 0\nmode 0\nall 0\nagain 0\nmode 0\nthere 1 1\nsecret -1 -1\n\
                        proc 0 1 1 1\nfixed 1 1\ndone\n";
        guarded("covers", user, expected);
    }
}

#[test]
fn mounts_that_are_gone_make_room() {
    intrudes(&["mounts"], "mounts 500\nagain 110\nnested 20000 0\nend 0\n");
}

#[test]
fn thousands_of_filters_end_with_their_thread() {
    intrudes(&["filters"], "filters 6554 ENOMEM\nended 0\n");
}

#[test]
fn filters_and_contexts_of_all_have_an_end() {
    intrudes(&["many"], "filters of all 1\nagain 0\ncontexts 1024 EAGAIN\n");
}

#[test]
fn who_listens_to_itself_waits_for_nobody_else() {
    intrudes(&["itself"], "ended e\nended 0\n");
}

/// What shows in more places counts there.
#[test]
fn what_spreads_counts() {
    let says = "doubled 8 ENOSPC\nmore 1 ENOSPC\numount 0 again 0\nagain 1000\n";
    intrudes(&["spreads"], says);
}

/// Namespaces that are held by one another only end one after another.
#[test]
fn a_long_chain_of_namespaces_ends() {
    intrudes(&["chain"], "chain 2000\nheld 1 of its root 0 umount 0\nagain 20\n");
}

/// Memory and threads of the sentry do not grow with namespaces that are gone.
#[test]
fn namespaces_leave_nothing_behind() {
    if !sandbox::possible() {
        return;
    }
    let words = ["sh", "-c", "echo up >/up; while :; do sleep 1; done"];
    let able = json!(["CAP_SYS_ADMIN", "CAP_SETFCAP", "CAP_SETGID"]);
    let container = Container::new(&words, |config| {
        config["process"]["capabilities"] =
            json!({"bounding": able, "permitted": able, "effective": able});
    });
    container.sandbox.compile("intruder", &["-static", "-pthread"]);
    container.create();
    container.does(&["start"], &[]);
    until("it runs", || container.sandbox.path("up").exists().then_some(()));
    let sentry = container.state()["pid"].as_u64().unwrap();
    let figure = |name: &str| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{sentry}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let takes = || {
        let ended = container.exec(&["/bin/intruder", "namespaces"]);
        assert_eq!(ended.stdout, "namespaces 300\nnested 33 ENOSPC\ndone\n", "{ended:?}");
        (figure("VmRSS:"), figure("Threads:"))
    };
    let first = takes();
    for _ in 0..3 {
        takes();
    }
    // A namespace goes a moment after its last process.
    until("KiB and threads are as many", || {
        let last = (figure("VmRSS:"), figure("Threads:"));
        (last.0 < first.0 + (8 << 10) && last.1 < first.1 + 8).then_some(())
    });
}

/// A handle leads to nothing that a configuration hides, whoever may open by handles.
#[test]
fn handles_can_not_be_forged() {
    if !sandbox::possible() {
        return;
    }
    let container = Container::new(&["/bin/forger"], |config| {
        config["linux"]["maskedPaths"] = json!(["/hidden"]);
        let able = json!(["CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE"]);
        config["process"]["capabilities"] =
            json!({"bounding": able, "permitted": able, "effective": able});
    });
    container.sandbox.compile("forger", &["-static"]);
    std::fs::create_dir(container.sandbox.path("hidden")).unwrap();
    std::fs::write(container.sandbox.path("hidden/secret"), "secret").unwrap();
    std::fs::write(container.sandbox.path("plain"), "").unwrap();
    let inode = |name: &str| std::fs::metadata(container.sandbox.path(name)).unwrap().ino();
    let both = format!("{} {}", inode("plain"), inode("hidden/secret"));
    std::fs::write(container.sandbox.path("plain"), both).unwrap();
    let ended = container.call(&["run"], &[]);
    assert_eq!(ended.stdout, "made 0\nown 1\nopened 0 refused 1\ndone\n", "{}", ended.stderr);
}
