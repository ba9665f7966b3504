//! `caisson version`.

use serde::Serialize;

use crate::failure::Failure;
use crate::host;
use crate::output::{self, ObjectFormat};

/// Show what version this is
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// `json`, or text as if not given
    #[arg(long, value_name = "FORMAT")]
    format: Option<ObjectFormat>,
}

#[derive(Serialize)]
struct Facts {
    version: &'static str,
    os: &'static str,
    architecture: &'static str,
    kernel: String,
}

impl Version {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let facts = Facts {
            version: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            kernel: host::kernel_release(),
        };
        match self.format {
            Some(ObjectFormat::Json) => output::json(&facts),
            None => output::text(&format!(
                "caisson {}\nPlatform: {}/{}\nKernel:   {}\n",
                facts.version, facts.os, facts.architecture, facts.kernel
            )),
        }
    }
}
