//! Tables of edits of the full example and how each is refused.

use crate::edit::edited;
use caisson_runtime_spec::{ConfigError, Spec, validate};

/// Edits of the full example (pointer and new JSON, nothing to remove), the
/// path that the error names, and a fragment of its reason.
pub(crate) type Row = (&'static [(&'static str, &'static str)], &'static str, &'static str);

fn refusal(edits: &[(&str, &str)]) -> ConfigError {
    let json = edited(edits);
    match Spec::from_slice(json.as_bytes()).and_then(|spec| validate(&spec)) {
        Err(error) => error,
        Ok(()) => panic!("{edits:?} is accepted"),
    }
}

#[track_caller]
pub(crate) fn check(rows: &[Row]) {
    for (edits, path, fragment) in rows {
        let error = refusal(edits);
        let line = error.to_string();
        assert_eq!(error.path(), Some(*path), "{edits:?}: {line}");
        assert!(line.contains(fragment), "{edits:?}: {line}");
        assert!(line.starts_with("config.json: "), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}
