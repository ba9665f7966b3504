//! `caisson image verify`: whether what is stored is what was stored.

use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, code};
use crate::output::{self, ObjectFormat, sizes};

/// Check every blob against its digest, and every image for its parts
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// `json`, or text as if not given
    #[arg(long, value_name = "FORMAT")]
    format: Option<ObjectFormat>,
}

#[derive(Serialize)]
struct Report {
    images: usize,
    blobs: usize,
    bytes: u64,
    problems: Vec<String>,
}

impl Verify {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let found = context.store()?.verify()?;
        let problems: Vec<_> = found.problems.iter().map(ToString::to_string).collect();
        let report =
            Report { images: found.images, blobs: found.blobs, bytes: found.bytes, problems };
        match self.format {
            Some(ObjectFormat::Json) => output::json(&report)?,
            None => {
                let mut text = String::new();
                for problem in &report.problems {
                    text.push_str(&format!("{problem}\n"));
                }
                let Report { images, blobs, bytes, .. } = report;
                let bytes = sizes::human(bytes);
                text.push_str(&format!("{images} images, {blobs} blobs of {bytes}: "));
                text.push_str(&match report.problems.len() {
                    0 => "all as they should be\n".to_owned(),
                    1 => "1 problem\n".to_owned(),
                    count => format!("{count} problems\n"),
                });
                output::text(&text)?;
            }
        }
        if found.is_clean() {
            return Ok(());
        }
        Err(Failure::new("the store is damaged")
            .with_code(code::GENERAL)
            .hint("remove the images that are named (`caisson rmi`) and pull or load them again"))
    }
}
