//! An image that is not here yet.

use caisson_image::{ImageRecord, Platform, Store};

use crate::context::Context;
use crate::failure::Failure;

/// Pulls the image.
pub(super) fn pull(
    _context: &Context,
    store: &Store,
    image: &str,
    platform: Option<&Platform>,
    _always: bool,
    _quiet: bool,
) -> Result<ImageRecord, Failure> {
    Ok(store.find_for(image, platform)?)
}
