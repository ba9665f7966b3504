//! Containers of a user without privileges, through the real program. Needs
//! root, to become such a user.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
#![allow(clippy::panic, reason = "a test stops at the first surprise")]

mod busybox;
mod caisson;

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use busybox::root;
use caisson::Ran;

/// An id that is nobody's, and has no subordinate ids.
const USER: u32 = 54_321;

/// Runs caisson, copied to `bin`, as that user, whose home is `home`.
fn as_user(bin: &Path, home: &Path, args: &[&str]) -> Ran {
    let id = USER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    command.arg(bin.join("caisson")).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home);
    command.env("XDG_RUNTIME_DIR", home.join("run")).current_dir("/").stdin(Stdio::null());
    Ran::from(command.output().unwrap())
}

#[test]
fn a_user_runs_containers_and_leaves_nothing() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    let archive = caisson.path("busybox.tar");
    let (bin, home) = (caisson.path("bin"), caisson.path("home"));
    for dir in [&bin, &home, &home.join("run")] {
        std::fs::create_dir(dir).unwrap();
    }
    let readable = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    readable(archive.parent().unwrap());
    readable(&archive);
    let built = Path::new(env!("CARGO_BIN_EXE_caisson"));
    for name in ["caisson", "caisson-shim"] {
        std::fs::copy(built.with_file_name(name), bin.join(name)).unwrap();
        readable(&bin.join(name));
    }
    for dir in [&home, &home.join("run")] {
        chown(dir, Some(USER), Some(USER)).unwrap();
    }
    let run = |args: &[&str]| {
        let ran = as_user(&bin, &home, args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    };
    run(&["load", "-q", "-i", archive.to_str().unwrap()]);
    let alone =
        ["run", "--rm", "--network", "none", "busybox", "sh", "-c", "id -u; cat /data/seed"];
    assert_eq!(run(&alone), "0\nseeded\n");
    run(&["run", "-d", "--name", "one", "--network", "none", "busybox", "sleep", "100"]);
    assert_eq!(run(&["exec", "one", "id", "-u"]), "0\n");
    assert_eq!(run(&["exec", "-u", "root", "one", "id", "-u"]), "0\n");
    assert!(run(&["ps"]).contains("Up "));
    run(&["cp", "one:/data/seed", home.join("seed").to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(home.join("seed")).unwrap(), "seeded\n");
    run(&["rm", "-f", "one"]);
    assert_eq!(run(&["ps", "-aq"]), "");
    for left in [".local/share/caisson/containers", "run/caisson/pods", "run/caisson/native"] {
        let entries: Vec<_> = std::fs::read_dir(home.join(left)).into_iter().flatten().collect();
        assert!(entries.is_empty(), "{left}: {entries:?}");
    }
}
