//! What this runtime can do, in the OCI's words (runtime-spec, features.md).

use caisson_runtime_spec::features::Features;

/// The features document.
pub(crate) fn features() -> Features {
    Features::default()
}
