//! Our call numbers against the kernel headers of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

use caisson_seccomp::{Arch, X32_BIT, syscall_number};
use std::io::Write;

/// Debian's linux-libc-dev; numbers above the header's own list are newer.
const HEADERS: [(Arch, &str); 3] = [
    (Arch::X86_64, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    (Arch::X86, "/usr/include/x86_64-linux-gnu/asm/unistd_32.h"),
    (Arch::X32, "/usr/include/x86_64-linux-gnu/asm/unistd_x32.h"),
];

#[test]
fn agree_with_the_kernel_headers() {
    for (arch, path) in HEADERS {
        let Ok(text) = std::fs::read_to_string(path) else {
            let said = format!("NOT TESTED: numbers of {arch:?}, there is no {path}\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            continue;
        };
        let mut compared = 0;
        for line in text.lines() {
            let Some(definition) = line.strip_prefix("#define __NR_") else { continue };
            let (name, value) = definition.split_once(' ').unwrap();
            let (x32, low) = match value.strip_prefix("(__X32_SYSCALL_BIT + ") {
                Some(low) => (X32_BIT, low.trim_end_matches(')')),
                None => (0, value),
            };
            let number: u32 = low.trim().parse().unwrap();
            assert_eq!(syscall_number(name, arch), Some(x32 | number), "{name} of {arch:?}");
            compared += 1;
        }
        assert!(compared > 300, "{path} has {compared} calls");
    }
}
