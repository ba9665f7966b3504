//! `caisson-init` as the container's first process.

use std::path::Path;

use caisson_runtime_spec::{Mount, Spec};

use super::step::StepError;

/// Where the container sees it: in its own `/dev`, so that the image's files
/// stay as they are.
const INSIDE: &str = "/dev/.caisson-init";

/// Puts the program beside `shim` in front of the container's own. It is seen
/// through a read-only mount.
pub(super) fn insert(spec: &mut Spec, shim: &Path) -> Result<(), StepError> {
    let program = shim.with_file_name("caisson-init");
    if !program.is_file() {
        let why = "it is missing; it belongs beside caisson-shim";
        return Err(StepError::new(format!("use {}", program.display()), why));
    }
    if let Some(process) = &mut spec.process {
        process.args.splice(0..0, [INSIDE.to_owned(), "--".to_owned()]);
    }
    spec.mounts.push(Mount {
        destination: INSIDE.to_owned(),
        source: Some(program.to_string_lossy().into_owned()),
        kind: Some("bind".to_owned()),
        options: ["bind", "ro", "nosuid", "nodev"].map(str::to_owned).to_vec(),
        ..Mount::default()
    });
    Ok(())
}
