//! What `run`, `create` and `exec` are told about a program.

use std::path::PathBuf;

use caisson_node::request::read_env_file;

use crate::failure::Failure;

/// Options about the program and its surroundings.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Program")]
pub(super) struct ProgramArgs {
    /// Keep its standard input open, and pass on ours
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Set a variable; a name alone passes on the caller's
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Set the variables that a file lists
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory, in place of the image's or the container's
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<String>,
    /// User and group, names or numbers, in place of the image's or the
    /// container's
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(super) user: Option<String>,
}

impl ProgramArgs {
    /// The variables, `NAME=VALUE`; a later one wins.
    pub(super) fn variables(&self) -> Result<Vec<String>, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let mut list = Vec::new();
        for file in &self.env_file {
            list.extend(read_env_file(file, &variable).map_err(Failure::of_engine)?);
        }
        for text in &self.env {
            if text.contains('=') {
                list.push(text.clone());
            } else if let Some(value) = variable(text) {
                list.push(format!("{text}={value}"));
            }
        }
        Ok(list)
    }
}
