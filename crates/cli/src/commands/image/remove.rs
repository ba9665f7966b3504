//! `caisson rmi`, `caisson image rm`.

use caisson_image::Reference;

use crate::context::Context;
use crate::failure::{self, Failure};
use crate::output;

/// Remove images, or names of images
#[derive(Debug, clap::Args)]
#[command(after_help = "A name is taken off its image; the image goes with its last name. An id \
                        removes the image.\nAn image that containers were made from stays until \
                        they are gone.")]
pub(crate) struct Remove {
    /// Names or ids
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    images: Vec<String>,
    /// Remove an image with several names too; take the names off one that is
    /// in use
    #[arg(short, long)]
    force: bool,
    /// Every image that no container was made from
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
}

impl Remove {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let mut queries = self.images.clone();
        if self.all {
            let unused = |image: &caisson_image::ImageRecord| image.containers.is_empty();
            let images = store.images()?;
            queries.extend(images.iter().filter(|i| unused(i)).map(|i| i.id.to_string()));
        }
        failure::each(&queries, |query| {
            let image = store.find(query)?.id;
            let removed = store.remove(query, self.force || self.all)?;
            let mut text = String::new();
            for name in removed.untagged.iter().map(Reference::familiar) {
                text.push_str(&format!("Untagged: {name}\n"));
                context.note_image(&store, "untag", &image, Some(name));
            }
            if let Some(id) = removed.deleted {
                text.push_str(&format!("Deleted: {id}\n"));
                context.note_image(&store, "delete", &id, None);
            }
            output::text(&text)
        })
    }
}
