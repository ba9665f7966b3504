//! Rules over one Rust source.

use crate::Finding;
use crate::mask::{Source, line_of, word_offsets};

/// Whether a file may hold `unsafe` at all.
#[must_use]
pub fn may_be_unsafe(path: &str) -> bool {
    // The sentry's platform module holds the copies of guest memory, too.
    path.starts_with("crates/sys/") || path.starts_with("crates/isolators/sentry/src/platform/")
}

/// `unsafe` stands only where [`may_be_unsafe`] says, and each use has a
/// `SAFETY:` note (or, for a function, a `# Safety` section) right above it.
#[must_use]
pub fn unsafe_has_a_note(path: &str, source: &Source) -> Vec<Finding> {
    let code: Vec<&str> = source.code.lines().collect();
    let comments: Vec<&str> = source.comments.lines().collect();
    let mut findings = Vec::new();
    for at in word_offsets(&source.code, "unsafe") {
        let line = line_of(&source.code, at);
        let after = source.code.get(at + "unsafe".len()..).unwrap_or_default().trim_start();
        // `unsafe fn(…)` is a type, `#[unsafe(…)]` an attribute.
        if ["fn(", "extern \" \" fn(", "("].iter().any(|start| after.starts_with(start)) {
            continue;
        }
        if !may_be_unsafe(path) {
            let message = "`unsafe` belongs in crates/sys or the sentry's platform/".to_owned();
            findings.push(Finding { rule: "unsafe", path: path.to_owned(), line, message });
        } else if !noted(&code, &comments, line - 1) {
            let message = "`unsafe` without a `// SAFETY:` note above it".to_owned();
            findings.push(Finding { rule: "unsafe", path: path.to_owned(), line, message });
        }
    }
    findings
}

/// Whether the statement around line `index` (from zero) has a note.
fn noted(code: &[&str], comments: &[&str], index: usize) -> bool {
    let at = |lines: &[&str], i: usize| lines.get(i).map_or(String::new(), |l| l.trim().to_owned());
    let says = |i: usize| {
        let comment = at(comments, i);
        comment.contains("SAFETY:") || comment.contains("# Safety")
    };
    if says(index) {
        return true;
    }
    for i in (0..index).rev() {
        if says(i) {
            return true;
        }
        let (line, comment) = (at(code, i), at(comments, i));
        let statement_ends = line.ends_with([';', '{', '}']) && !line.starts_with('#');
        if statement_ends || (line.is_empty() && comment.is_empty()) {
            return false;
        }
    }
    false
}

/// Lints that no product code outside `crates/sys` may switch off.
const HARD_LINTS: [&str; 7] =
    ["unwrap_used", "expect_used", "panic", "todo", "unimplemented", "unreachable", "unsafe_code"];

/// No `allow` of a lint that keeps input from panicking; every other one
/// says why, by `reason = "…"` or a comment on the line above.
#[must_use]
pub fn lint_exemptions(path: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let comments: Vec<&str> = source.comments.lines().collect();
    for word in ["allow", "expect"] {
        for at in word_offsets(&source.product, word) {
            let before = source.product.get(..at).unwrap_or_default().trim_end();
            if !(before.ends_with("#[") || before.ends_with("#![") || before.ends_with(',')) {
                continue;
            }
            let after = source.product.get(at + word.len()..).unwrap_or_default();
            let Some(list) = after.strip_prefix('(').and_then(|a| a.split(')').next()) else {
                continue;
            };
            let hard = HARD_LINTS.iter().find(|lint| !word_offsets(list, lint).is_empty());
            if !list.contains("clippy::") && hard.is_none() {
                continue;
            }
            let line = line_of(&source.product, at);
            let above = line.checked_sub(2).and_then(|i| comments.get(i)).map_or("", |c| c.trim());
            let message = match hard {
                Some(lint)
                    if !(*lint == "unsafe_code" && may_be_unsafe(path)
                        || path.starts_with("crates/sys/")) =>
                {
                    format!("`{word}` of `{lint}` outside tests: return an error instead")
                }
                _ if list.contains("reason") || !above.is_empty() => continue,
                _ => format!("`{word}` of a lint without a `reason = \"…\"`"),
            };
            findings.push(Finding { rule: "lint-exemption", path: path.to_owned(), line, message });
        }
    }
    findings
}

/// A call that some files may not make.
pub struct Ban {
    /// Rule name for findings and exceptions.
    pub rule: &'static str,
    /// Paths that start like this are under the ban.
    pub under: &'static [&'static str],
    /// Paths that contain one of these are not.
    pub except: &'static [&'static str],
    /// The banned text, matched in code with identifier borders.
    pub words: &'static [&'static str],
    /// What to do instead.
    pub instead: &'static str,
}

/// The banned calls of the house.
pub const BANS: [Ban; 5] = [
    Ban {
        rule: "container-path",
        under: &["crates/isolators/native/src/", "crates/rootpath/src/"],
        except: &[],
        words: &[
            "std::fs",
            "std::{fs",
            "File::open",
            "File::create",
            "OpenOptions",
            ".exists()",
            ".canonicalize()",
        ],
        instead: "paths below a container's root go through caisson-rootpath; \
                  a file that only touches host-side state is listed in exceptions.txt",
    },
    Ban {
        rule: "spawn",
        under: &["crates/"],
        except: &["crates/cli/", "crates/tidy/"],
        words: &["process::Command", "Command::new"],
        instead: "an engine starts programs through caisson-sys, not through std::process",
    },
    Ban {
        rule: "print",
        under: &["crates/"],
        except: &["crates/cli/", "crates/oci-cli/", "/main.rs", "/bin/", "/examples/", "build.rs"],
        words: &["println!", "print!", "eprintln!", "eprint!", "dbg!"],
        instead: "a library returns what it has to say; only a command prints",
    },
    Ban {
        rule: "panic",
        under: &["crates/", "bench/"],
        except: &["build.rs"],
        words: &["unwrap()", "panic!", "todo!", "unimplemented!", "unreachable!"],
        instead: "bad input never panics: return an error",
    },
    Ban {
        rule: "process-exit",
        under: &["crates/"],
        except: &["/main.rs", "/bin/", "/examples/", "crates/sys/"],
        words: &["process::exit", "process::abort"],
        instead: "return an exit status to main",
    },
];

/// Every use of a banned call in the product part of `source`.
#[must_use]
pub fn banned_calls(path: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ban in &BANS {
        let under = ban.under.iter().any(|p| path.starts_with(p));
        if !under || ban.except.iter().any(|p| path.contains(p)) {
            continue;
        }
        for word in ban.words {
            for (at, _) in source.product.match_indices(word) {
                let before = source.product.get(..at).unwrap_or_default();
                if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                    continue;
                }
                // `File` alone is only a type: a descriptor one can read from.
                let after = source.product.get(at..).unwrap_or_default();
                let file = after.strip_prefix("std::fs::File");
                if file.is_some_and(|f| !f.starts_with("::open") && !f.starts_with("::create")) {
                    continue;
                }
                let line = line_of(&source.product, at);
                let message = format!("`{word}`: {}", ban.instead);
                findings.push(Finding { rule: ban.rule, path: path.to_owned(), line, message });
            }
        }
    }
    findings
}

/// No raw descriptor number in a function's signature or a public field.
#[must_use]
pub fn raw_descriptors(path: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in word_offsets(&source.product, "RawFd") {
        let before = source.product.get(..at).unwrap_or_default();
        let statement = before.rsplit([';', '{', '}']).next().unwrap_or_default();
        let signature = !word_offsets(statement, "fn").is_empty();
        let field =
            statement.rsplit(',').next().is_some_and(|f| f.trim_start().starts_with("pub "));
        let import = !word_offsets(statement, "use").is_empty();
        if (signature || field) && !import {
            let line = line_of(&source.product, at);
            let message = "`RawFd` in a signature: take BorrowedFd or OwnedFd".to_owned();
            findings.push(Finding { rule: "raw-fd", path: path.to_owned(), line, message });
        }
    }
    findings
}

/// A crate root or module starts with a `//!` header.
#[must_use]
pub fn has_header(path: &str, text: &str) -> Option<Finding> {
    let first = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with("#!["));
    let headed = first.is_some_and(|l| l.starts_with("//!") && l.len() > 4);
    (!headed).then(|| Finding {
        rule: "header",
        path: path.to_owned(),
        line: 1,
        message: "starts with a `//!` line that says what the file is for".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|f| f.line).collect()
    }

    #[test]
    fn unsafe_needs_the_right_crate_and_a_note() {
        let text = "// SAFETY: fine\nlet a =\n    unsafe { f() };\nlet b = unsafe { g() };\n\
                    /// # Safety\n/// x\npub unsafe fn h() {}\ntype T = unsafe fn(u8);\n";
        let source = Source::new(text);
        assert_eq!(lines(&unsafe_has_a_note("crates/sys/src/a.rs", &source)), [4]);
        assert_eq!(lines(&unsafe_has_a_note("crates/cgroup/src/a.rs", &source)), [3, 4, 7]);
        let platform = "crates/isolators/sentry/src/platform/a.rs";
        assert_eq!(lines(&unsafe_has_a_note(platform, &source)), [4]);
        let beside = "crates/isolators/sentry/src/mm/a.rs";
        assert_eq!(lines(&unsafe_has_a_note(beside, &source)), [3, 4, 7]);
    }

    #[test]
    fn a_note_does_not_reach_past_another_statement() {
        let source = Source::new("// SAFETY: one\nlet a = 1;\nunsafe { f() }\n");
        assert_eq!(lines(&unsafe_has_a_note("crates/sys/src/a.rs", &source)), [3]);
    }

    #[test]
    fn hard_lints_stay_on() {
        let text = "#[allow(clippy::unwrap_used, reason = \"lazy\")]\nfn a() {}\n\
                    #[allow(clippy::cast_sign_loss)]\nfn b() {}\n\
                    #[allow(clippy::cast_sign_loss, reason = \"range checked\")]\nfn c() {}\n\
                    #[cfg(test)]\nmod tests { #[allow(clippy::unwrap_used)] fn d() {} }\n";
        let source = Source::new(text);
        assert_eq!(lines(&lint_exemptions("crates/cgroup/src/a.rs", &source)), [1, 3]);
    }

    #[test]
    fn banned_calls_are_found_outside_tests_only() {
        let text =
            "fn a() { std::fs::read(p) }\n// std::fs\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let source = Source::new(text);
        let found = banned_calls("crates/isolators/native/src/mounts.rs", &source);
        assert!(found.iter().all(|f| f.line == 1 && f.rule == "container-path"));
        assert!(!found.is_empty());
        assert!(banned_calls("crates/cgroup/src/v1.rs", &source).is_empty());
        let source = Source::new("fn a() { println!(); x.unwrap(); Command::new(y); }");
        let rules: Vec<_> = banned_calls("crates/seccomp/src/a.rs", &source);
        assert_eq!(rules.iter().map(|f| f.rule).collect::<Vec<_>>(), ["spawn", "print", "panic"]);
    }

    #[test]
    fn raw_descriptors_stay_out_of_signatures() {
        let text = "use std::os::fd::RawFd;\npub fn a(fd: RawFd) {}\npub struct B {\n  x: u8,\n  pub fd: RawFd,\n}\n\
                    fn c() { let n: RawFd = 3; }\n";
        assert_eq!(lines(&raw_descriptors("crates/x/src/a.rs", &Source::new(text))), [2, 5]);
    }

    #[test]
    fn headers_are_wanted() {
        assert!(has_header("a.rs", "//! What it is.\n").is_none());
        assert!(has_header("a.rs", "//!\nfn a() {}").is_some());
        assert!(has_header("a.rs", "use a;\n").is_some());
    }
}
