//! `caisson tag`.

use caisson_image::Reference;

use crate::context::Context;
use crate::failure::Failure;

/// Give an image more names
#[derive(Debug, clap::Args)]
pub(crate) struct Tag {
    /// Name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The new names; each is taken off the image that had it
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Tag {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let names = self.names.iter().map(|name| name.parse()).collect::<Result<Vec<_>, _>>()?;
        if let Some(name) = names.iter().find(|name: &&Reference| name.digest().is_some()) {
            let message = format!("{name} has a digest: a name that is given has a tag only");
            return Err(Failure::usage(message));
        }
        let store = context.store()?;
        let image = store.find(&self.image)?;
        for name in &names {
            store.tag(&image, name)?;
            context.note_image(&store, "tag", &image.id, Some(name.familiar()));
        }
        Ok(())
    }
}
