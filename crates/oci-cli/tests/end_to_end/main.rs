//! The whole command line over a fake engine whose containers are plain
//! processes of this machine.
//!
//! The test program is the runtime too: commands wait for any child, take over
//! signals and write to standard output, so each needs a process of its own.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod foreground;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod process;
#[cfg(test)]
mod program;
#[cfg(test)]
mod terminal;

#[cfg(test)]
fn main() -> std::process::ExitCode {
    if std::env::var_os(program::AS_RUNTIME).is_some() {
        let code = caisson_oci_cli::main(&fake::RUNTIME, std::env::args_os());
        return std::process::ExitCode::from(code);
    }
    let tests: Vec<(&str, fn())> =
        [lifecycle::TESTS, foreground::TESTS, process::TESTS, terminal::TESTS, notify::TESTS]
            .concat();
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let mut failed = 0;
    for (name, test) in tests {
        if filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let passed = std::panic::catch_unwind(test).is_ok();
        failed += u32::from(!passed);
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    }
    assert_eq!(failed, 0, "tests failed");
    std::process::ExitCode::SUCCESS
}

#[cfg(not(test))]
fn main() {}
