//! What the host mounts while a pod lives.

use std::fs;
use std::path::Path;

use caisson_shim::client::LaunchFds;
use caisson_sys::unshare::{Unshare, unshare};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use serde_json::json;

use crate::needs_root;
use crate::pod::{Member, PATIENCE, Pod};

fn mount_tmpfs(at: &Path) {
    fs::create_dir_all(at).unwrap();
    mount("tmpfs", at, "tmpfs", MountFlags::empty(), None).unwrap();
}

/// In a thread: the mount namespace is its own, with every mount of this kind.
fn in_own_mounts(kind: MountPropagationFlags, test: impl FnOnce() + Send) {
    let test = || {
        unshare(Unshare::Mount).unwrap();
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).unwrap();
        mount_change("/", kind | MountPropagationFlags::REC).unwrap();
        test();
    };
    std::thread::scope(|scope| {
        scope.spawn(test).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// A pod, then mounts of the host, then a container that shows them.
fn mounts_after_the_start(kind: MountPropagationFlags) {
    in_own_mounts(kind, || {
        let pod = Pod::empty();
        let shim = pod.launch_with(&LaunchFds::default()).unwrap().commit().unwrap();
        let volume = pod.path("volume");
        mount_tmpfs(&volume);
        fs::create_dir(volume.join("part")).unwrap();
        mount_tmpfs(&volume.join("part/inner"));
        fs::write(volume.join("part/inner/word"), "inner\n").unwrap();
        fs::write(volume.join("secret"), "secret\n").unwrap();
        let text = "cat /secret /part/inner/word; \
             touch /part/x 2>/dev/null || echo outer ro; touch /part/inner/x || echo inner ro; \
             ls /alone/part/inner; echo up; while ! [ -e /slave/late/word ]; do sleep 0.01; done; \
             cat /slave/late/word; [ -e /part/late ] && echo private too; exit 3";
        let mut member = Member::script(&pod, "one", text);
        let mut bind = |from: &str, to: &str, options: &[&str]| {
            let source = volume.join(from);
            let one = json!({"destination": to, "source": source, "options": options});
            member.spec["mounts"].as_array_mut().unwrap().push(one);
        };
        bind("secret", "/secret", &["rbind", "rprivate", "ro"]);
        bind("part", "/part", &["rbind", "rprivate", "rro"]);
        bind("", "/alone", &["bind", "private"]);
        bind("", "/slave", &["rbind", "rslave"]);
        member.spec["linux"]["rootfsPropagation"] = json!("rslave");
        let container = member.create(&shim);
        container.start().unwrap();
        member.await_log("up");
        let log = member.log();
        for word in ["secret", "inner\\n", "outer ro", "inner ro"] {
            assert!(log.contains(word), "{word}: {log}");
        }
        let propagates = kind == MountPropagationFlags::SHARED;
        mount_tmpfs(&volume.join("late"));
        fs::write(volume.join("late/word"), "late\n").unwrap();
        if propagates {
            member.await_log("late");
            assert_eq!(container.wait(Some(PATIENCE)).unwrap().code, 3);
            assert!(!member.log().contains("private too"));
        } else {
            container.stop(None, Some(9)).unwrap();
        }
        container.remove(true).unwrap();
        let places = pod.pod_dir().join("mounts").join(container.id());
        assert!(!places.exists(), "{} is left", places.display());
        for at in ["late", "part/inner", ""] {
            // Nobody holds them any more.
            unmount(volume.join(at), UnmountFlags::empty()).unwrap();
        }
        shim.shutdown(false).unwrap();
    });
}

#[test]
fn a_container_shows_what_the_host_has_mounted_since_the_pod_started() {
    needs_root!();
    mounts_after_the_start(MountPropagationFlags::PRIVATE);
}

#[test]
fn a_slave_of_the_hosts_shared_mounts_gets_later_ones() {
    needs_root!();
    mounts_after_the_start(MountPropagationFlags::SHARED);
}
