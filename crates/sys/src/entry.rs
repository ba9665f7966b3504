//! The program's entry point without the standard library's start-up code.

use std::ffi::{CStr, OsString};
use std::os::unix::ffi::OsStringExt;

/// Defines C's `main`. The function given gets the arguments and returns the
/// exit code.
///
/// The standard library's own start-up reads `/proc/self/maps`, installs
/// signal handlers and an alternate stack; a process that lives for a
/// millisecond and forks does better without.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(
            argc: core::ffi::c_int,
            argv: *const *const core::ffi::c_char,
        ) -> core::ffi::c_int {
            let run: fn(Vec<std::ffi::OsString>) -> u8 = $run;
            run($crate::entry::arguments(argc, argv)).into()
        }
    };
}

/// The arguments that the kernel passed to `main`.
#[doc(hidden)]
#[must_use]
pub fn arguments(argc: core::ffi::c_int, argv: *const *const core::ffi::c_char) -> Vec<OsString> {
    let count = usize::try_from(argc).unwrap_or(0);
    (0..count)
        .map(|index| {
            // SAFETY: `argv` holds `argc` pointers to NUL-terminated strings
            // that live as long as the process (execve(2)).
            let text = unsafe { CStr::from_ptr(*argv.add(index)) };
            OsString::from_vec(text.to_bytes().to_vec())
        })
        .collect()
}
