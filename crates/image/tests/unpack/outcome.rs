//! What a hostile archive must lead to.

use std::path::Path;

use crate::sandbox::Sandbox;

/// What has to happen: a refusal whose text has these words in it, or success
/// with this file content (`None`: not there) in the target.
pub(crate) enum Outcome {
    Refused(&'static str),
    Has(&'static [(&'static str, Option<&'static str>)]),
}

pub(crate) fn check(cases: Vec<(&str, Vec<u8>, Outcome)>) {
    for (what, archive, outcome) in cases {
        let sandbox = Sandbox::new();
        let result = sandbox.unpack(archive.as_slice());
        match (outcome, result) {
            (Outcome::Refused(words), Err(error)) => {
                let text = error.to_string();
                assert!(text.contains(words), "{what}: {text:?} lacks {words:?}");
            }
            (Outcome::Refused(words), Ok(_)) => panic!("{what}: not refused ({words})"),
            (Outcome::Has(_), Err(error)) => panic!("{what}: {error}"),
            (Outcome::Has(files), Ok(_)) => {
                let tree = sandbox.tree();
                for (path, content) in files {
                    let found = tree
                        .get(Path::new(path))
                        .map(|node| String::from_utf8_lossy(&node.content).into_owned());
                    assert_eq!(found.as_deref(), *content, "{what}: {path}");
                }
            }
        }
    }
}
