//! `caisson image build-from-rootfs`: an image of a directory.

use std::path::PathBuf;

use caisson_image::manifest::{ContainerConfig, ImageConfig, LayerCompression};
use caisson_image::{BuildRequest, Platform, Reference, build_from_rootfs};

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// Make an image of a directory with a root file system
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A command is words (`--cmd 'sleep 10'`), or a JSON array where a word has \
                        spaces (`--cmd '[\"sh\",\"-c\",\"echo a b\"]'`).\nPrints the id of the \
                        image."
)]
pub(crate) struct BuildFromRootfs {
    /// The directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// What the image is called
    #[arg(value_name = "NAME")]
    name: Reference,
    /// The program that always runs
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// The program if there is no entry point, else its arguments
    #[arg(long, value_name = "COMMAND")]
    cmd: Option<String>,
    /// A variable of the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Where the program starts
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,
    /// As whom it runs
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// A label
    #[arg(short, long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// A port on which it listens
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,
    /// A path that is a volume
    #[arg(long, value_name = "PATH")]
    volume: Vec<String>,
    /// The signal that stops it
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// When it was made (RFC 3339), so that the same tree makes the same image
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    /// What it runs on, if not this machine's
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// How the layer is compressed
    #[arg(long, value_enum, default_value_t)]
    compression: Compression,
    /// Only print the id
    #[arg(short, long)]
    quiet: bool,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Compression {
    None,
    #[default]
    Gzip,
    Zstd,
}

impl BuildFromRootfs {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        if self.name.digest().is_some() {
            return Err(Failure::usage(format!("{}: a new image has no digest yet", self.name)));
        }
        let request = BuildRequest {
            rootfs: &self.dir,
            name: Some(&self.name),
            config: self.config()?,
            compression: match self.compression {
                Compression::None => LayerCompression::None,
                Compression::Gzip => LayerCompression::Gzip,
                Compression::Zstd => LayerCompression::Zstd,
            },
            owner: None,
        };
        let store = context.store()?;
        let progress = Progress::new(context, self.quiet);
        let image = build_from_rootfs(&store, &request, &progress)?;
        drop(progress);
        context.note_image(&store, "build", &image.id, Some(self.name.familiar()));
        output::text(&format!("{}\n", image.id))
    }

    fn config(&self) -> Result<ImageConfig, Failure> {
        let platform = self.platform.clone();
        let mut config = ImageConfig {
            created: self.created.clone(),
            architecture: platform.as_ref().map_or(String::new(), |p| p.architecture.clone()),
            os: platform.as_ref().map_or(String::new(), |p| p.os.clone()),
            variant: platform.and_then(|p| p.variant),
            ..ImageConfig::default()
        };
        config.config = ContainerConfig {
            user: self.user.clone().unwrap_or_default(),
            env: self.env.iter().map(|text| pair("--env", text)).collect::<Result<_, _>>()?,
            entrypoint: words("--entrypoint", self.entrypoint.as_deref())?,
            cmd: words("--cmd", self.cmd.as_deref())?,
            volumes: self.volume.iter().cloned().collect(),
            working_dir: self.workdir.clone().unwrap_or_default(),
            exposed_ports: self.expose.iter().map(|t| port(t)).collect::<Result<_, _>>()?,
            stop_signal: self.stop_signal.clone(),
            ..ContainerConfig::default()
        };
        for text in &self.label {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            config.config.labels.insert(key.to_owned(), value.to_owned());
        }
        Ok(config)
    }
}

fn pair(option: &str, text: &str) -> Result<String, Failure> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err(Failure::usage(format!("{option} {text:?}: wants NAME=VALUE"))),
    }
}

/// `80` as `80/tcp`.
fn port(text: &str) -> Result<String, Failure> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let known = ["tcp", "udp", "sctp"].contains(&protocol);
    match number.parse::<u16>() {
        Ok(1..) if known => Ok(format!("{number}/{protocol}")),
        _ => Err(Failure::usage(format!("--expose {text:?}: wants PORT or PORT/PROTOCOL"))),
    }
}

fn words(option: &str, text: Option<&str>) -> Result<Vec<String>, Failure> {
    let Some(text) = text.map(str::trim) else { return Ok(Vec::new()) };
    if !text.starts_with('[') {
        return Ok(text.split_whitespace().map(str::to_owned).collect());
    }
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("{option} {text:?}: this is no JSON array of words: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_or_json() {
        assert_eq!(words("--cmd", Some("a  b")).unwrap(), ["a", "b"]);
        assert_eq!(words("--cmd", Some(r#"["a b", "c"]"#)).unwrap(), ["a b", "c"]);
        assert!(words("--cmd", Some("[a]")).is_err());
        assert!(words("--cmd", None).unwrap().is_empty());
    }

    #[test]
    fn ports_have_a_protocol() {
        assert_eq!(port("80").unwrap(), "80/tcp");
        assert_eq!(port("53/udp").unwrap(), "53/udp");
        for bad in ["", "0", "x", "80/x", "70000"] {
            assert!(port(bad).is_err(), "{bad}");
        }
        assert!(pair("--env", "=x").is_err() && pair("--env", "A=").is_ok());
    }
}
