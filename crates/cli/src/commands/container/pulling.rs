//! An image that is not here yet.

use caisson_image::{ImageRecord, Platform, Store};

use crate::commands::image::pull::{Fetch, When};
use crate::context::Context;
use crate::failure::Failure;

/// Pulls the image.
pub(super) fn pull(
    context: &Context,
    store: &Store,
    image: &str,
    platform: Option<&Platform>,
    always: bool,
    quiet: bool,
) -> Result<ImageRecord, Failure> {
    let when = if always { When::Always } else { When::Missing };
    Fetch { platform, when, quiet, ..Fetch::default() }.image(context, store, image)
}
