//! `caisson-native`: an OCI runtime with runc's command line.
#![no_main]

use std::ffi::OsString;

use caisson_native::{NativeIsolator, Settings};
use caisson_oci_cli::{Runtime, RuntimeOptions};

fn run(args: Vec<OsString>) -> u8 {
    let runtime = Runtime {
        name: "caisson-native",
        version: env!("CARGO_PKG_VERSION"),
        description: "An OCI runtime: containers behind namespaces, cgroups and seccomp",
        protect: caisson_sys::protect::protect,
        open: |options: &RuntimeOptions| {
            Ok(Box::new(NativeIsolator::new(Settings {
                root: options.root.clone(),
                systemd_cgroup: options.systemd_cgroup,
                rootless: options.rootless,
            })))
        },
    };
    caisson_oci_cli::main(&runtime, args.into_iter())
}

caisson_sys::entry!(run);
