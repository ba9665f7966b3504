//! What runs.

use std::path::PathBuf;

use caisson_node::request::{
    ContainerRequest, LogRequest, RestartPolicy, parse_size, read_env_file,
};
use caisson_node::signals;

use crate::commands::container::program_args::ProgramArgs;
use crate::failure::Failure;

/// Options about the program and its surroundings.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Program")]
pub(super) struct ProcessOptions {
    #[command(flatten)]
    program: ProgramArgs,
    /// Further groups of the user
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Program, in place of the image's; an empty text removes that
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// A small init as process 1
    #[arg(long)]
    init: bool,
    /// Start it again when it ends: no, always, unless-stopped, on-failure[:N]
    #[arg(long, value_name = "POLICY", default_value = "no", hide_default_value = true)]
    restart: RestartPolicy,
    /// Signal that asks it to end
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<u32>,
    /// Set a label
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Set the labels that a file lists
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    /// Set an annotation of the OCI configuration
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Where its output is kept: json-file, k8s-file or none
    #[arg(long, value_name = "DRIVER", value_parser = ["json-file", "k8s-file", "none"])]
    log_driver: Option<String>,
    /// max-size=SIZE or max-file=NUMBER
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
}

impl ProcessOptions {
    pub(super) fn apply(&self, request: &mut ContainerRequest) -> Result<(), Failure> {
        request.env = self.program.variables()?;
        for file in &self.label_file {
            for line in read_env_file(file, &|_| None).map_err(Failure::of_engine)? {
                insert(&mut request.labels, &line);
            }
        }
        for text in &self.label {
            insert(&mut request.labels, text);
        }
        for text in &self.annotation {
            insert(&mut request.annotations, text);
        }
        if let Some(signal) = &self.stop_signal {
            signals::parse(signal).map_err(Failure::of_engine)?;
        }
        request.tty = self.program.tty;
        request.open_stdin = self.program.interactive;
        request.working_dir.clone_from(&self.program.workdir);
        request.user.clone_from(&self.program.user);
        request.group_add.clone_from(&self.group_add);
        request.entrypoint = self
            .entrypoint
            .as_ref()
            .map(|program| if program.is_empty() { Vec::new() } else { vec![program.clone()] });
        request.init = self.init;
        request.restart = self.restart;
        request.stop_signal.clone_from(&self.stop_signal);
        request.stop_timeout = self.stop_timeout;
        request.log = LogRequest { driver: self.log_driver.clone(), ..LogRequest::default() };
        for text in &self.log_opt {
            let refuse = || {
                Failure::usage(format!(
                    "--log-opt {text:?}: there are max-size=SIZE and max-file=NUMBER"
                ))
            };
            match text.split_once('=') {
                Some(("max-size", size)) => {
                    request.log.max_size = Some(parse_size(size).map_err(Failure::of_engine)?);
                }
                Some(("max-file", count)) => {
                    request.log.max_files = Some(count.parse().map_err(|_| refuse())?);
                }
                _ => return Err(refuse()),
            }
        }
        Ok(())
    }
}

fn insert(map: &mut std::collections::BTreeMap<String, String>, text: &str) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    map.insert(name.to_owned(), value.to_owned());
}
