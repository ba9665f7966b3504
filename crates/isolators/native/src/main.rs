//! `caisson-native`: an OCI runtime with runc's command line.
#![no_main]

use std::ffi::OsString;

use caisson_native::{NativeIsolator, Settings};
use caisson_oci_cli::{Runtime, RuntimeOptions};

/// Puts `/dev/null` where the caller left a standard stream closed. Else what
/// is opened next would take its number, and be taken for it.
fn open_standard_streams() {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use rustix::stdio::{stderr, stdin, stdout};
    for stream in [stdin(), stdout(), stderr()] {
        if rustix::io::fcntl_getfd(stream) == Err(rustix::io::Errno::BADF)
            && let Ok(null) = openat(CWD, "/dev/null", OFlags::RDWR, Mode::empty())
        {
            // It has the lowest free number: the stream's.
            let _ = std::os::fd::IntoRawFd::into_raw_fd(null);
        }
    }
}

fn run(args: Vec<OsString>) -> u8 {
    open_standard_streams();
    let runtime = Runtime {
        name: "caisson-native",
        version: env!("CARGO_PKG_VERSION"),
        description: "An OCI runtime: containers behind namespaces, cgroups and seccomp",
        protect: caisson_sys::protect::protect,
        flags: &[],
        open: |options: &RuntimeOptions| {
            Ok(Box::new(NativeIsolator::new(Settings {
                root: options.root.clone(),
                systemd_cgroup: options.systemd_cgroup,
                rootless: options.rootless,
                kernel: None,
            })))
        },
    };
    caisson_oci_cli::main(&runtime, args.into_iter())
}

caisson_sys::entry!(run);
