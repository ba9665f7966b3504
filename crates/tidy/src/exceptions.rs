//! Files that may break a rule, each with a reason: lines of
//! `rule path reason…`.

use crate::Finding;

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
pub struct Exception {
    /// Name of the rule.
    pub rule: String,
    /// Path relative to the root; a folder ends in `/`.
    pub path: String,
}

/// Reads the list; the second value holds complaints about lines without a
/// path or a reason.
#[must_use]
pub fn parse(text: &str) -> (Vec<Exception>, Vec<String>) {
    let (mut list, mut wrong) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.splitn(3, char::is_whitespace);
        let (rule, path, reason) = (fields.next(), fields.next(), fields.next());
        match (rule, path, reason.map(str::trim)) {
            (Some(rule), Some(path), Some(reason)) if reason.len() > 10 => {
                list.push(Exception { rule: rule.to_owned(), path: path.to_owned() });
            }
            _ => wrong.push(format!("exceptions.txt line {}: wants `rule path reason`", index + 1)),
        }
    }
    (list, wrong)
}

/// The findings that no exception covers, and the exceptions that cover none.
#[must_use]
pub fn apply(list: &[Exception], findings: Vec<Finding>) -> (Vec<Finding>, Vec<String>) {
    let covers = |e: &Exception, f: &Finding| {
        let path = f.path == e.path || (e.path.ends_with('/') && f.path.starts_with(&e.path));
        path && f.rule == e.rule
    };
    let idle = list.iter().filter(|e| !findings.iter().any(|f| covers(e, f)));
    let idle = idle.map(|e| format!("`{} {}` is no longer needed: remove it", e.rule, e.path));
    let idle = idle.collect();
    let rest = findings.into_iter().filter(|f| !list.iter().any(|e| covers(e, f))).collect();
    (rest, idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &'static str, path: &str) -> Finding {
        Finding { rule, path: path.to_owned(), line: 1, message: String::new() }
    }

    #[test]
    fn an_exception_needs_a_reason() {
        let (list, wrong) = parse("# c\nprint a.rs it is a command's output\nprint b.rs\n");
        assert_eq!((list.len(), wrong.len()), (1, 1));
    }

    #[test]
    fn exceptions_cover_and_expire() {
        let (list, _) = parse("print a.rs is a command\nspawn b/ runs the compiler\n");
        let (rest, idle) = apply(&list, vec![finding("print", "a.rs"), finding("spawn", "c/d.rs")]);
        assert_eq!(rest, [finding("spawn", "c/d.rs")]);
        assert_eq!(idle.len(), 1);
        assert!(idle[0].contains("remove it"));
    }
}
