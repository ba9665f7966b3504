//! The program's entry point without the standard library's start-up code.

/// Defines C's `main`. The function given gets the arguments and returns the
/// exit code. The crate needs `#![no_main]`.
///
/// The standard library's own start-up reads `/proc/self/maps`, installs
/// signal handlers and an alternate stack; a process that lives for a
/// millisecond and forks does better without. Arguments come from
/// `std::env::args_os`, which glibc fills before `main`.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(
            _argc: core::ffi::c_int,
            _argv: *const *const core::ffi::c_char,
        ) -> core::ffi::c_int {
            let run: fn(Vec<std::ffi::OsString>) -> u8 = $run;
            run(std::env::args_os().collect()).into()
        }
    };
}
