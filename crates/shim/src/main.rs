//! `caisson-shim`: a pod's supervisor. Not for users to call.
#![no_main]

use std::ffi::OsString;

fn run(args: Vec<OsString>) -> u8 {
    caisson_shim::supervisor::main(args.into_iter())
}

caisson_sys::entry!(run);
