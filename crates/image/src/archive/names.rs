//! Names of images in archives.

use std::collections::BTreeMap;

use super::{IMAGE_NAME, REF_NAME};
use crate::Reference;
use crate::store::canonical;

/// The name that annotations of an index give: in full, else as a reference.
/// A bare tag is no name: nothing says what it is a tag of.
pub(super) fn from_annotations(annotations: &BTreeMap<String, String>) -> Option<Reference> {
    let full = annotations.get(IMAGE_NAME).and_then(|name| parse(name));
    full.or_else(|| {
        let name = annotations.get(REF_NAME)?;
        if name.contains(['/', ':']) { parse(name) } else { None }
    })
}

/// A name as a reference; `None` if it is none.
pub(super) fn parse(name: &str) -> Option<Reference> {
    name.parse().ok().map(|reference| canonical(&reference))
}
