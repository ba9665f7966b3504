//! `caisson volume create`.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Make an empty volume and print its name
#[derive(Debug, clap::Args)]
#[command(after_help = "A volume of that name that is there stays as it is. \
                        `run -v NAME:PATH` makes one too, and fills it from the image.")]
pub(crate) struct Create {
    /// Its name; made up if not given
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Set a label
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Where it lies: only `local`, a directory of this machine
    #[arg(short, long, value_name = "DRIVER", value_parser = ["local"], default_value = "local",
          hide_default_value = true, hide_possible_values = true)]
    driver: String,
    /// Refused: a volume is a directory and has no options
    #[arg(short, long, value_name = "NAME=VALUE", hide = true)]
    opt: Vec<String>,
}

impl Create {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        if let Some(option) = self.opt.first() {
            let message = format!("--opt {option}: volumes have no options, they are directories");
            return Err(Failure::usage(message).hint(
                "mount the device or network share on the host, and give that directory: \
                 run -v /path:/path; memory is run --tmpfs",
            ));
        }
        let label = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text.clone(), String::new()),
        };
        let labels = self.label.iter().map(label).collect();
        let name = context.engine()?.create_volume(self.name.as_deref(), labels)?;
        output::text(&format!("{name}\n"))
    }
}
