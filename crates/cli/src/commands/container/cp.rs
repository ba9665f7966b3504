//! `caisson cp`.

use std::path::Path;
use std::process::ExitCode;

use caisson_node::copy::CopyOptions;
use rustix::termios::isatty;

use super::cp_stream;
use crate::context::Context;
use crate::failure::Failure;

/// Copy files between a container and the host
#[derive(Debug, clap::Args)]
#[command(after_help = "A source that ends in /. stands for what is in that directory. `-` in \
                        place of a path of\nthe host is a tar archive on standard input or output.")]
pub(crate) struct Cp {
    /// Owners stay what they were
    #[arg(short, long)]
    archive: bool,
    /// Follow a link at the source's end
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// CONTAINER:PATH, or a path of the host
    source: String,
    /// CONTAINER:PATH, or a path of the host
    target: String,
}

/// `CONTAINER:PATH`; a path that holds a colon is written with `./` or `/` in
/// front.
fn split(text: &str) -> Option<(&str, &Path)> {
    let (name, path) = text.split_once(':')?;
    let is_path = name.is_empty() || name.contains('/') || name.starts_with('.');
    (!is_path).then(|| (name, Path::new(if path.is_empty() { "/" } else { path })))
}

impl Cp {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let options = CopyOptions { keep_owner: self.archive, follow_link: self.follow_link };
        match (split(&self.source), split(&self.target)) {
            (Some((name, from)), None) if self.target == "-" => {
                if isatty(rustix::stdio::stdout()) {
                    return Err(Failure::usage("an archive is nothing for a terminal")
                        .hint("write it into a file or a pipe"));
                }
                cp_stream::out(context, &engine, name, from, options)?;
            }
            (None, Some((name, to))) if self.source == "-" => {
                cp_stream::into(context, &engine, name, to, options)?;
            }
            (Some((name, from)), None) => {
                engine.copy_out(name, from, Path::new(&self.target), options)?;
            }
            (None, Some((name, to))) => {
                engine.copy_in(Path::new(&self.source), name, to, options)?;
            }
            (Some(_), Some(_)) => {
                return Err(Failure::usage("files are not copied from one container to another")
                    .hint("copy them to the host first"));
            }
            (None, None) => {
                return Err(Failure::usage("neither side is a container: write CONTAINER:PATH"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart() {
        assert_eq!(split("web:/etc"), Some(("web", Path::new("/etc"))));
        assert_eq!(split("web:"), Some(("web", Path::new("/"))));
        for host in ["/a:b", "./a:b", "a", "a/b:c", ":x"] {
            assert_eq!(split(host), None, "{host}");
        }
    }
}
