//! What a runtime says when something went wrong.

use serde::Deserialize;

/// So much of a runtime's words is kept.
pub(crate) const LONGEST: usize = 4096;

/// One entry of `--log-format json`: runc writes a line, newer cruns several.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

/// Why a call failed, in the runtime's own words: the errors of its log, else
/// the last line of what it said otherwise, or of the log. `program` is what
/// was to be executed in the container, if anything was.
pub(crate) fn reason(log: &str, said: &str, program: Option<&str>) -> Option<String> {
    let lines = entries(log);
    let mut errors: Vec<&str> = Vec::new();
    for line in lines.iter().filter(|line| is_error(&line.level) && !line.msg.is_empty()) {
        if !errors.contains(&line.msg.as_str()) {
            errors.push(&line.msg);
        }
    }
    let errors = Some(errors.join("; ")).filter(|errors| !errors.is_empty());
    let message = errors
        .or_else(|| last_line(said))
        .or_else(|| lines.last().map(|line| line.msg.clone()).filter(|msg| !msg.is_empty()))
        .or_else(|| last_line(log))?;
    Some(one_line(&in_known_words(&message, program)))
}

fn entries(log: &str) -> Vec<Line> {
    let mut entries = Vec::new();
    let mut rest = log;
    while !rest.is_empty() {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Line>();
        while let Some(Ok(entry)) = stream.next() {
            entries.push(entry);
        }
        // What is no JSON is skipped, a line at a time.
        let tail = rest.get(stream.byte_offset()..).unwrap_or_default();
        rest = tail.split_once('\n').map_or("", |(_, after)| after);
    }
    entries
}

fn is_error(level: &str) -> bool {
    ["error", "fatal", "panic"].iter().any(|name| level.eq_ignore_ascii_case(name))
}

fn last_line(text: &str) -> Option<String> {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// Of a length that people read, and without anything that moves a cursor.
fn one_line(message: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = message.chars().map(plain).take(LONGEST).collect();
    text.truncate(text.trim_end().len());
    text
}

/// crun's words for a program that can't be executed, with those of runc in
/// front, by which callers know it.
fn in_known_words(message: &str, program: Option<&str>) -> String {
    let words = ["executable file `", "open executable:", "exists but it is not executable"];
    match program {
        Some(program) if words.iter().any(|words| message.contains(words)) => {
            format!("exec: \"{program}\": {message}")
        }
        _ => message.to_owned(),
    }
}

/// Whether the words mean that the runtime knows no such container.
pub(crate) fn means_unknown(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("does not exist") || reason.contains("no such file or directory")
}

/// Whether the words mean that nothing runs any more.
pub(crate) fn means_stopped(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["not running", "process already finished", "no such process", "container is stopped"]
        .iter()
        .any(|words| reason.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_log_count_before_all_else() {
        let log = r#"{"level":"warning","msg":"careful","time":"t"}
{"level":"error","msg":"first","time":"t"}
{"level":"error","msg":"first","time":"t"}
{"level":"error","msg":"second\nline","time":"t"}
{"level":"info","msg":"bye"}
not json
{
  "msg": "third",
  "level": "error"
}
"#;
        let reason = |log, said| reason(log, said, None);
        assert_eq!(reason(log, "x").as_deref(), Some("first; second line; third"));
        assert_eq!(reason("", "one\ntwo\n\n").as_deref(), Some("two"));
        assert_eq!(reason("plain text\n", "").as_deref(), Some("plain text"));
        assert_eq!(reason("", " \n"), None);
    }

    #[test]
    fn missing_programs_are_told_in_words_that_callers_know() {
        let log = r#"{"msg":"executable file `x` not found in $PATH: No such file or directory","level":"error"}"#;
        let reason = reason(log, "", Some("x")).unwrap();
        assert!(reason.starts_with("exec: \"x\": executable file `x` not found"), "{reason}");
    }

    #[test]
    fn endless_words_are_cut() {
        let said = "x".repeat(3 * LONGEST);
        assert_eq!(reason("", &said, None).unwrap().len(), LONGEST);
    }
}
