//! Writing results into a Markdown file, section by section.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::BenchError;
use crate::runtimes::Runtime;

/// The machine, the day and the versions that figures belong to.
pub(crate) fn circumstances(runtimes: &[Runtime]) -> String {
    let first = |path: &str, key: &str| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| {
                let line = text.lines().find(|l| l.starts_with(key))?;
                Some(
                    line.trim_start_matches(key)
                        .trim_matches([' ', '\t', ':', '=', '"'])
                        .to_owned(),
                )
            })
            .unwrap_or_else(|| "unknown".into())
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output().map_or_else(
        |_| "unknown".into(),
        |o| String::from_utf8_lossy(&o.stdout).trim().to_owned(),
    );
    let load = first("/proc/loadavg", "");
    let mut text = format!(
        "{date}; {}, kernel {}, {cpus} × {}; load before: {}\n\n",
        first("/etc/os-release", "PRETTY_NAME"),
        first("/proc/sys/kernel/osrelease", ""),
        first("/proc/cpuinfo", "model name"),
        load.split(' ').next().unwrap_or("unknown"),
    );
    for runtime in runtimes {
        text.push_str(&format!("- {}: {}\n", runtime.name, runtime.version));
    }
    text.push('\n');
    text
}

/// Replaces section `name` of `file` by `text`, or appends it.
pub(crate) fn write(file: &Path, name: &str, text: &str) -> Result<(), BenchError> {
    let old = match fs::read_to_string(file) {
        Ok(old) => old,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => "# Results\n\n".to_owned(),
        Err(e) => return Err(BenchError::path("read", file)(e)),
    };
    fs::write(file, replace(&old, name, text)).map_err(BenchError::path("write", file))
}

fn replace(old: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let section = format!("{begin}\n{}\n{end}", text.trim_end());
    if let Some((before, rest)) = old.split_once(&begin)
        && let Some((_, after)) = rest.split_once(&end)
    {
        return format!("{before}{section}{after}");
    }
    format!("{}\n\n{section}\n", old.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_replaced_in_place() {
        let one = replace("# Results\n", "a", "first");
        let two = replace(&one, "b", "second");
        let three = replace(&two, "a", "third");
        assert!(!three.contains("first"));
        assert!(three.find("third").unwrap() < three.find("second").unwrap());
        assert!(three.starts_with("# Results\n"));
    }
}
