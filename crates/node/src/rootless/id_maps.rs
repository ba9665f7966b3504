//! Which ids of the host a user's namespace has.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{getegid, geteuid};

/// Most ranges of subordinate ids that are used; the kernel takes 340 lines.
const MAX_RANGES: usize = 32;

/// The maps of user and group ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IdMaps {
    uid: u32,
    gid: u32,
    /// Subordinate ids of the user, start and count; empty if there are none.
    users: Vec<(u32, u32)>,
    groups: Vec<(u32, u32)>,
}

impl IdMaps {
    /// The user's own id becomes root, its subordinate ids follow. Without
    /// those, or without the programs that may use them, there is root alone.
    pub(super) fn of_this_user() -> Self {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let name = user_name(uid).unwrap_or_default();
        let read =
            |file: &str| ranges(&std::fs::read_to_string(file).unwrap_or_default(), &name, uid);
        let (mut users, mut groups) = (read("/etc/subuid"), read("/etc/subgid"));
        if users.is_empty() || groups.is_empty() || !installed() {
            users.clear();
            groups.clear();
        }
        Self { uid, gid, users, groups }
    }
}

fn installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    there("newuidmap") && there("newgidmap")
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The user's ranges in a file such as `/etc/subuid` (subuid(5)).
fn ranges(text: &str, name: &str, uid: u32) -> Vec<(u32, u32)> {
    let own = uid.to_string();
    let line = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let start: u32 = fields.next()?.trim().parse().ok()?;
        let count: u32 = fields.next()?.trim().parse().ok()?;
        let ours = owner == own || (!name.is_empty() && owner == name);
        (ours && count > 0 && start.checked_add(count).is_some()).then_some((start, count))
    };
    text.lines().filter_map(line).take(MAX_RANGES).collect()
}

/// Lines of a map as arguments: inside, outside, count.
fn lines(own: u32, ranges: &[(u32, u32)]) -> Vec<String> {
    let mut lines = vec!["0".to_owned(), own.to_string(), "1".to_owned()];
    let mut inside: u32 = 1;
    for (start, count) in ranges {
        let Some(next) = inside.checked_add(*count) else { break };
        lines.extend([inside.to_string(), start.to_string(), count.to_string()]);
        inside = next;
    }
    lines
}

/// Writes the maps of process `pid`, which has just got its user namespace.
pub(super) fn helper_writes(maps: &IdMaps, pid: u32) -> Result<(), String> {
    let process = pid.to_string();
    if maps.users.is_empty() {
        let write = |file: &str, text: &str| {
            let path = Path::new("/proc").join(&process).join(file);
            std::fs::write(&path, text).map_err(|e| format!("write {}: {e}", path.display()))
        };
        write("setgroups", "deny")?;
        write("uid_map", &lines(maps.uid, &[]).join(" "))?;
        return write("gid_map", &lines(maps.gid, &[]).join(" "));
    }
    for (program, own, ranges) in
        [("newuidmap", maps.uid, &maps.users), ("newgidmap", maps.gid, &maps.groups)]
    {
        let output = Command::new(program)
            .arg(&process)
            .args(lines(own, ranges))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("start {program}: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{program}: {}", said.trim()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_name_and_number() {
        let text =
            "root:1:1\nme:100000:65536\n1000:500000:10\nme:bad:1\nme:4294967295:2\nyou:5:5\n";
        assert_eq!(ranges(text, "me", 1000), [(100_000, 65536), (500_000, 10)]);
        assert_eq!(ranges(text, "", 7), []);
    }

    #[test]
    fn maps_are_contiguous_inside() {
        let made = lines(1000, &[(100_000, 65536), (500_000, 10)]);
        assert_eq!(made.join(" "), "0 1000 1 1 100000 65536 65537 500000 10");
        assert_eq!(lines(1000, &[]).join(" "), "0 1000 1");
    }
}
