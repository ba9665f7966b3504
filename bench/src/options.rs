//! The command line.

use std::path::PathBuf;

use lexopt::prelude::*;

use crate::error::BenchError;

const HELP: &str = "\
usage: caisson-bench COMMAND [options]

native        wall time, CPU time and peak memory of create, start, delete,
              run, exec and --version, interleaved over all runtimes
  --runs N        rounds (25)
  --record FILE   also write the tables into FILE's native section
  --check         exit 1 when a bar is missed
memory-floor  smallest memory limit under which /bin/true runs 5 times of 5
  --record FILE   also write the table into FILE's memory-floor section
churn         containers in a row and at once, then a census of leaks (exit 1)
  --serial N      containers in a row (1000)
  --parallel N    containers at once (100)
  --all           the peers too, not ours only
image         cold pulls and warm runs beside containerd, docker, podman and
              skopeo; scripts/bench-image.sh prepares what it needs
  --caisson PATH  our command (caisson beside this binary)
  --image REF     image to pull    --title TEXT   what it is
  --busybox REF   image to run
  --pulls N       rounds of pulls (5)
  --runs N        rounds of runs (25)
  --dir DIR       where engines keep what they pull (/var/tmp)
  --record FILE   also write the tables into FILE's image section
  --check         exit 1 when a bar is missed
cri           tables of pods, ours beside containerd's; scripts/bench-cri.sh
              measures
  --samples FILE  what cribench printed
  --record FILE   also write the tables into FILE's cri section
  --check         exit 1 when a bar is missed

all:
  --runtime PATH  our runtime (caisson-native beside this binary)
  --peers DIR     newer peers (.cache/peers/bin below the working directory)
  --profile FILE  seccomp profile (crates/seccomp/profiles/docker-default.json)
";

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Native,
    MemoryFloor,
    Churn,
    Image,
    Cri,
}

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) command: Command,
    /// Our runtime.
    pub(crate) runtime: PathBuf,
    /// Directory with `crun` and `runc` newer than the system's.
    pub(crate) peers: PathBuf,
    /// Docker-format or OCI-format seccomp profile.
    pub(crate) profile: PathBuf,
    /// Our command line for images and containers.
    pub(crate) caisson: PathBuf,
    /// What is pulled, what that is, and what is run.
    pub(crate) image: String,
    pub(crate) title: String,
    pub(crate) busybox: String,
    pub(crate) pulls: usize,
    pub(crate) runs: usize,
    /// What cribench printed.
    pub(crate) samples: PathBuf,
    /// Where engines keep what they pull.
    pub(crate) dir: PathBuf,
    pub(crate) serial: usize,
    pub(crate) parallel: usize,
    pub(crate) record: Option<PathBuf>,
    pub(crate) check: bool,
    pub(crate) all: bool,
}

impl Options {
    /// Parses the process's arguments; prints the help and exits on `--help`.
    pub(crate) fn parse() -> Result<Self, BenchError> {
        Self::from_parser(lexopt::Parser::from_env()).map_err(|e| BenchError::Usage(e.to_string()))
    }

    fn from_parser(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let mut command = None;
        let mut options = Self {
            command: Command::Native,
            runtime: beside_this_binary("caisson-native"),
            peers: PathBuf::from(".cache/peers/bin"),
            profile: PathBuf::from("crates/seccomp/profiles/docker-default.json"),
            caisson: beside_this_binary("caisson"),
            image: String::new(),
            title: "an image".into(),
            busybox: String::new(),
            pulls: 5,
            runs: 25,
            samples: PathBuf::new(),
            dir: PathBuf::from("/var/tmp"),
            serial: 1000,
            parallel: 100,
            record: None,
            check: false,
            all: false,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Value(name) if command.is_none() => {
                    command = Some(match name.to_str() {
                        Some("native") => Command::Native,
                        Some("memory-floor") => Command::MemoryFloor,
                        Some("churn") => Command::Churn,
                        Some("image") => Command::Image,
                        Some("cri") => Command::Cri,
                        _ => return Err(format!("unknown command {}", name.display()).into()),
                    });
                }
                Long("runtime") => options.runtime = parser.value()?.into(),
                Long("caisson") => options.caisson = parser.value()?.into(),
                Long("image") => options.image = parser.value()?.string()?,
                Long("title") => options.title = parser.value()?.string()?,
                Long("busybox") => options.busybox = parser.value()?.string()?,
                Long("pulls") => options.pulls = parser.value()?.parse()?,
                Long("samples") => options.samples = parser.value()?.into(),
                Long("peers") => options.peers = parser.value()?.into(),
                Long("profile") => options.profile = parser.value()?.into(),
                Long("runs") => options.runs = parser.value()?.parse()?,
                Long("dir") => options.dir = parser.value()?.into(),
                Long("serial") => options.serial = parser.value()?.parse()?,
                Long("parallel") => options.parallel = parser.value()?.parse()?,
                Long("record") => options.record = Some(parser.value()?.into()),
                Long("check") => options.check = true,
                Long("all") => options.all = true,
                Short('h') | Long("help") => {
                    print!("{HELP}");
                    std::process::exit(0);
                }
                other => return Err(other.unexpected()),
            }
        }
        options.command = command.ok_or("no command named")?;
        if options.runs == 0 || options.pulls == 0 {
            return Err("--runs and --pulls must be at least 1".into());
        }
        if options.command == Command::Image
            && (options.image.is_empty() || options.busybox.is_empty())
        {
            return Err("image needs --image and --busybox".into());
        }
        if options.command == Command::Cri && options.samples.as_os_str().is_empty() {
            return Err("cri needs --samples".into());
        }
        Ok(options)
    }
}

fn beside_this_binary(name: &str) -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|dir| dir.join(name)))
        .unwrap_or_else(|| PathBuf::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, lexopt::Error> {
        Options::from_parser(lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn numbers_and_command_are_read() {
        let options = parse(&["churn", "--serial", "50", "--parallel", "10"]).unwrap();
        assert_eq!(options.command, Command::Churn);
        assert_eq!((options.serial, options.parallel), (50, 10));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["natives"]).is_err());
        assert!(parse(&["native", "--runs", "0"]).is_err());
        assert!(parse(&["native", "--runs", "x"]).is_err());
        assert!(parse(&["native", "--frobnicate"]).is_err());
        assert!(parse(&["image", "--image", "a"]).is_err());
        assert!(parse(&["cri"]).is_err());
    }
}
