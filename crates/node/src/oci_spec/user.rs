//! Users and groups by the image's own `/etc/passwd` and `/etc/group`.
//!
//! Those files are a stranger's: they are read through `caisson-rootpath`, no
//! further than a limit, and an entry with an id out of range is refused, never
//! wrapped.

use std::path::Path;

use caisson_rootpath::{Root, RootPathError};

/// Longest `passwd` or `group` that is read, in bytes.
const SIZE_LIMIT: usize = 4 << 20;
/// Most supplementary groups that the kernel takes (NGROUPS_MAX).
const MAX_GROUPS: usize = 65_536;

/// Whom a container's process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory; `/` if the user has no entry.
    pub home: String,
}

/// Why there is no such user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No entry of that name.
    #[error("the image has no user {0:?} in /etc/passwd; give a number instead")]
    NoUser(String),
    /// No entry of that name.
    #[error("the image has no group {0:?} in /etc/group; give a number instead")]
    NoGroup(String),
    /// A number that is no id.
    #[error("{text:?} is no id: 0 to 4294967294 are")]
    Range {
        /// What was given.
        text: String,
    },
    /// An entry that can't be used.
    #[error("the image's {file} has a malformed entry of {name:?}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// Whose entry.
        name: String,
    },
    /// More groups than a process can have.
    #[error("more than {MAX_GROUPS} groups")]
    TooManyGroups,
    /// A file that is there could not be read.
    #[error(transparent)]
    Read(#[from] RootPathError),
}

/// The identity that `text` (`user[:group]`, names or numbers, empty for root)
/// and `extra` groups stand for, below `root`.
///
/// Digits are always an id, whatever the entries are called. A user without an
/// entry has group 0. The groups of `/etc/group` count unless `text` names one.
///
/// # Errors
/// [`UserError`].
pub fn look_up(root: &Root, text: &str, extra: &[String]) -> Result<Identity, UserError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let passwd = read(root, "/etc/passwd")?;
    let entry = match number(user)? {
        _ if user.is_empty() => find_user(&passwd, |_, uid| uid == Some(0), "root")?,
        Some(uid) => find_user(&passwd, |_, id| id == Some(uid), user)?,
        None => Some(
            find_user(&passwd, |name, _| name == user, user)?
                .ok_or_else(|| UserError::NoUser(shown(user)))?,
        ),
    };
    let uid = match (&entry, number(user)?) {
        (Some(entry), _) => entry.uid,
        (None, Some(uid)) => uid,
        (None, None) => 0,
    };
    let groups_file = if group.is_some_and(|g| !is_number(g))
        || extra.iter().any(|g| !is_number(g))
        || (group.is_none() && entry.is_some())
    {
        read(root, "/etc/group")?
    } else {
        String::new()
    };
    let gid = match group {
        Some(group) => find_group(&groups_file, group)?,
        None => entry.as_ref().map_or(0, |entry| entry.gid),
    };
    let mut groups = Vec::new();
    if let (None, Some(entry)) = (group, &entry) {
        groups = member_of(&groups_file, &entry.name);
    }
    for group in extra {
        groups.push(find_group(&groups_file, group)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    if groups.len() > MAX_GROUPS {
        return Err(UserError::TooManyGroups);
    }
    let home = entry.map(|entry| entry.home).filter(|home| home.starts_with('/'));
    Ok(Identity { uid, gid, groups, home: home.unwrap_or_else(|| "/".to_owned()) })
}

struct Entry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// A file that is missing has no entries; bytes that are no UTF-8 match no name.
fn read(root: &Root, path: &'static str) -> Result<String, UserError> {
    match root.read_file_capped(Path::new(path), SIZE_LIMIT) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.is_not_found() => Ok(String::new()),
        Err(error) => Err(error.into()),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// An id, if `text` is all digits. The last id stands for "none" in system
/// calls, so it is none.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if !is_number(text) {
        return Ok(None);
    }
    let id = text.parse().ok().filter(|id| *id != u32::MAX);
    id.map(Some).ok_or_else(|| UserError::Range { text: shown(text) })
}

fn strict_id(text: &str) -> Option<u32> {
    number(text).ok().flatten()
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The first entry that `wanted` (of name and id) picks.
fn find_user(
    passwd: &str,
    wanted: impl Fn(&str, Option<u32>) -> bool,
    shown_as: &str,
) -> Result<Option<Entry>, UserError> {
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else {
            continue;
        };
        let id = strict_id(uid);
        if name.is_empty() || !wanted(name, id) {
            continue;
        }
        let malformed = || UserError::Malformed { file: "/etc/passwd", name: shown(shown_as) };
        return Ok(Some(Entry {
            name: (*name).to_owned(),
            uid: id.ok_or_else(malformed)?,
            gid: strict_id(gid).ok_or_else(malformed)?,
            home: (*home).to_owned(),
        }));
    }
    Ok(None)
}

fn find_group(file: &str, group: &str) -> Result<u32, UserError> {
    if let Some(gid) = number(group)? {
        return Ok(gid);
    }
    for line in file.lines() {
        let mut fields = line.split(':');
        if fields.next() == Some(group) && !group.is_empty() {
            let gid = fields.nth(1).and_then(strict_id);
            return gid
                .ok_or_else(|| UserError::Malformed { file: "/etc/group", name: shown(group) });
        }
    }
    Err(UserError::NoGroup(shown(group)))
}

/// Groups that list `user`; malformed lines give none.
fn member_of(file: &str, user: &str) -> Vec<u32> {
    let mut groups = Vec::new();
    for line in file.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [_, _, gid, members] = fields.as_slice()
            && members.split(',').any(|member| member == user)
            && let Some(gid) = strict_id(gid)
        {
            groups.push(gid);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/false\n\
        1000:x:77:77::/home/n:\nbig:x:4294967295:0::/:\nneg:x:-1:0::/:\nwrap:x:4294967296:0::/:\nshort:x:5\n";
    const GROUP: &str =
        "root:x:0:\nwww:x:33:\nvideo:x:44:www,other\naudio:x:29:www\nbad:x:-1:www\n";

    fn root(passwd: &str, group: &str) -> (tempfile::TempDir, Root) {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("etc")).unwrap();
        std::fs::write(temp.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(temp.path().join("etc/group"), group).unwrap();
        let root = Root::open(temp.path()).unwrap();
        (temp, root)
    }

    fn ids(text: &str, extra: &[&str]) -> Result<(u32, u32, Vec<u32>, String), UserError> {
        let (_temp, root) = root(PASSWD, GROUP);
        let extra: Vec<String> = extra.iter().map(|g| (*g).to_owned()).collect();
        look_up(&root, text, &extra).map(|i| (i.uid, i.gid, i.groups, i.home))
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(ids("", &[]).unwrap(), (0, 0, vec![], "/root".to_owned()));
        assert_eq!(ids("www", &[]).unwrap(), (33, 33, vec![44, 29], "/var/www".to_owned()));
        assert_eq!(ids("33", &[]).unwrap(), (33, 33, vec![44, 29], "/var/www".to_owned()));
        assert_eq!(ids("www:video", &[]).unwrap(), (33, 44, vec![], "/var/www".to_owned()));
        assert_eq!(
            ids("5:6", &["audio", "7", "audio"]).unwrap(),
            (5, 6, vec![29, 7], "/".to_owned())
        );
        // Digits are an id, not the user who is called so.
        assert_eq!(ids("1000", &[]).unwrap().0, 1000);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for text in ["4294967295", "99999999999999999999", "0:4294967295"] {
            assert!(matches!(ids(text, &[]), Err(UserError::Range { .. })), "{text}");
        }
        for text in ["big", "neg", "wrap"] {
            assert!(matches!(ids(text, &[]), Err(UserError::Malformed { .. })), "{text}");
        }
        for text in ["nobody", "short", "-1"] {
            assert!(matches!(ids(text, &[]), Err(UserError::NoUser(_))), "{text}");
        }
        assert!(matches!(ids("0:nope", &[]), Err(UserError::NoGroup(_))));
        assert!(matches!(ids("0", &["bad"]), Err(UserError::Malformed { .. })));
    }

    #[test]
    fn missing_links_and_giants() {
        let temp = tempfile::tempdir().unwrap();
        let empty = Root::open(temp.path()).unwrap();
        let root_user = look_up(&empty, "", &[]).unwrap();
        assert_eq!((root_user.uid, root_user.home.as_str()), (0, "/"));
        assert_eq!(look_up(&empty, "7", &[]).unwrap().uid, 7);
        let (temp, giant) = root(&"x".repeat(SIZE_LIMIT + 1), "");
        assert!(matches!(look_up(&giant, "www", &[]), Err(UserError::Read(_))));
        // A link to the host's file leads to the container's own.
        std::fs::remove_file(temp.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/../../../etc/shadow", temp.path().join("etc/passwd")).unwrap();
        assert!(matches!(look_up(&giant, "root", &[]), Err(UserError::NoUser(_))));
    }
}
