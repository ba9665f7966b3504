//! Counts that may only fall, kept in a small file of `[group]` headings and
//! `"key" = number` lines (a subset of TOML).

use std::collections::BTreeMap;

use thiserror::Error;

/// `(group, key)` with its recorded count.
pub type Counts = BTreeMap<(String, String), usize>;

/// A line of the ratchet file that can't be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("ratchet line {line}: `{text}`: {reason}")]
pub struct ParseRatchetError {
    line: usize,
    text: String,
    reason: &'static str,
}

/// Reads a ratchet file's text.
///
/// # Errors
/// Names the first line that is neither a heading, a comment nor a count.
pub fn parse(text: &str) -> Result<Counts, ParseRatchetError> {
    let mut counts = Counts::new();
    let mut group = String::new();
    for (index, line) in text.lines().enumerate() {
        let fail = |reason| ParseRatchetError { line: index + 1, text: line.to_owned(), reason };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut group);
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| fail("no `=`"))?;
        let value = value.trim().parse().map_err(|_| fail("not a count"))?;
        let key = (group.clone(), key.trim().trim_matches('"').to_owned());
        if counts.insert(key, value).is_some() {
            return Err(fail("written twice"));
        }
    }
    Ok(counts)
}

/// Complaints where `found` differs from `recorded`, in either direction: a
/// count that fell must be written down, or it could rise again unseen.
#[must_use]
pub fn compare(recorded: &Counts, found: &Counts) -> Vec<String> {
    let zero = |counts: &Counts, key| counts.get(key).copied().unwrap_or(0);
    let mut keys: Vec<_> = recorded.keys().chain(found.keys()).collect();
    keys.sort();
    keys.dedup();
    let mut wrong = Vec::new();
    for key in keys {
        let (was, is) = (zero(recorded, key), zero(found, key));
        let (group, name) = key;
        if is > was {
            wrong.push(format!("[{group}] \"{name}\": {is}, recorded is {was}: it may only fall"));
        } else if is < was {
            wrong.push(format!(
                "[{group}] \"{name}\": {is}, recorded is {was}: lower the recorded value"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_groups_and_counts() {
        let counts = parse("# x\n[lines]\n\"a/b.rs\" = 612\n\n[counts]\nskips = 0\n").unwrap();
        assert_eq!(counts.get(&("lines".into(), "a/b.rs".into())), Some(&612));
        assert_eq!(counts.len(), 2);
    }

    #[test]
    fn names_the_bad_line() {
        assert_eq!(parse("[a]\nb = many\n").unwrap_err().line, 2);
        assert_eq!(parse("b\n").unwrap_err().reason, "no `=`");
        assert_eq!(parse("b = 1\nb = 2\n").unwrap_err().reason, "written twice");
    }

    #[test]
    fn counts_may_only_fall_and_must_be_recorded() {
        let recorded = parse("[g]\na = 2\nb = 2\nc = 2\n").unwrap();
        let found = parse("[g]\na = 3\nb = 2\nc = 1\nd = 1\n").unwrap();
        let wrong = compare(&recorded, &found);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("may only fall"));
        assert!(wrong[1].contains("lower the recorded value"));
        assert!(wrong[2].contains("\"d\""));
    }
}
