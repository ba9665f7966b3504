//! The program as containerd runs it: `start` and `delete`.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use caisson_isolator::Isolator as _;
use caisson_native::{NativeIsolator, Settings};
use caisson_runtime_spec::features::Features;
use caisson_sentry::oci::{self as sentry, SentryIsolator};
use serde::Deserialize;

use crate::client::{CollectError, LaunchFds, collect, connect, exit_record, is_alive, launch};
use crate::supervisor::{remove_collected, remove_forgotten};
use crate::{ContainerConfig, ContainerdConfig, ExitRecord, PodConfig, SentryOptions, names};
use caisson_containerd::info;
use caisson_containerd::protobuf::Message;
use caisson_containerd::start::Bootstrap;
use caisson_containerd::task::{Exit, deleted};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long a supervisor may take to leave, and how often is looked.
const LEAVING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);
/// Below it each pod has its directory.
const PODS: &str = "/run/caisson/v2";
/// Annotations that put containers into one pod: of containerd's CRI, and of
/// those who ask for it by name.
const GROUPS: [&str; 2] = ["io.kubernetes.cri.sandbox-id", "io.containerd.runc.v2.group"];

/// Why containerd's request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The arguments are not containerd's.
    #[error(
        "usage: -namespace NAME -address SOCKET -id ID [-bundle DIRECTORY] start|delete, by containerd"
    )]
    Usage,
    /// A file can't be read or written.
    #[error("{action} {path}: {cause}")]
    File { action: &'static str, path: PathBuf, cause: String },
    /// The program has been given a name that says nothing.
    #[error(
        "this program is containerd-shim-caisson-native-v2 or containerd-shim-caisson-sentry-v2 to \
         containerd, not {0:?}: link it by one of these names"
    )]
    Name(String),
    /// There is no supervisor.
    #[error("{0}")]
    Launch(String),
}

/// The flags before the command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Flags {
    namespace: String,
    address: String,
    id: String,
    bundle: Option<PathBuf>,
    command: String,
}

fn parse(args: &[OsString]) -> Result<Flags, CommandError> {
    let mut flags = Flags::default();
    let mut args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        let Some(name) = arg.strip_prefix('-') else {
            flags.command = arg;
            continue;
        };
        let name = name.trim_start_matches('-');
        let (name, given) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if name == "debug" {
            continue;
        }
        let value = given.or_else(|| args.next()).ok_or(CommandError::Usage)?;
        match name {
            "namespace" => flags.namespace = value,
            "address" => flags.address = value,
            "id" => flags.id = value,
            "bundle" => flags.bundle = Some(value.into()),
            // The program that publishes events: we do that ourselves.
            _ => {}
        }
    }
    match flags.id.is_empty() || flags.namespace.is_empty() {
        true => Err(CommandError::Usage),
        false => Ok(flags),
    }
}

impl Flags {
    /// The directory of this pod. Named by what makes it unlike all others, in a
    /// length that a socket's name has room for (FNV-1a).
    fn pod_dir(&self, group: &str) -> PathBuf {
        let parts = [&self.address, "\0", &self.namespace, "\0", group];
        let bytes = parts.iter().flat_map(|part| part.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Path::new(PODS).join(format!("{hash:016x}"))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotated {
    annotations: std::collections::BTreeMap<String, String>,
}

/// Which of our isolators the program's name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Native,
    Sentry,
}

impl Kind {
    fn of(program: &OsStr) -> Result<Self, CommandError> {
        let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
        match name.as_ref() {
            "containerd-shim-caisson-native-v2" => Ok(Self::Native),
            "containerd-shim-caisson-sentry-v2" => Ok(Self::Sentry),
            other => Err(CommandError::Name(other.to_owned())),
        }
    }

    /// What containerd calls us.
    fn runtime_type(self) -> String {
        format!("io.containerd.caisson-{}.v2", self.isolator())
    }

    fn isolator(self) -> &'static str {
        match self {
            Self::Native => caisson_native::NAME,
            Self::Sentry => sentry::NAME,
        }
    }

    fn features(self) -> Features {
        let (root, systemd_cgroup) = (PathBuf::new(), false);
        match self {
            Self::Native => {
                let (rootless, kernel) = (Some(false), None);
                let settings = Settings { root, systemd_cgroup, rootless, kernel };
                NativeIsolator::new(settings).features()
            }
            Self::Sentry => SentryIsolator::new(sentry::Settings {
                systemd_cgroup,
                ..sentry::Settings::in_folder(&root)
            })
            .features(),
        }
    }
}

/// The pod that the container in this bundle belongs to.
fn group_of(bundle: &Path, id: &str) -> Result<String, CommandError> {
    let path = bundle.join("config.json");
    let failed = |cause: String| CommandError::File { action: "read", path: path.clone(), cause };
    let text = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
    let found: Annotated =
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    let named = GROUPS.iter().find_map(|name| found.annotations.get(*name));
    Ok(named.map_or_else(|| id.to_owned(), Clone::clone))
}

/// The directory of the pod that has noted a container of this bundle.
fn pod_of(bundle: &Path, id: &str) -> Option<PathBuf> {
    let pods = std::fs::read_dir(PODS).ok()?;
    pods.filter_map(Result::ok).map(|pod| pod.path()).find(|pod| {
        let noted = std::fs::read(pod.join(names::CONTAINERS).join(id)).unwrap_or_default();
        let noted = serde_json::from_slice::<ContainerConfig>(&noted);
        noted.is_ok_and(|noted| noted.bundle.as_deref() == Some(bundle))
    })
}

/// Does what containerd asks; what it is to read on standard output.
/// `name`: what the program was called.
pub(crate) fn run(
    program: &Path,
    name: &OsStr,
    args: &[OsString],
) -> Result<Vec<u8>, CommandError> {
    let kind = Kind::of(name)?;
    let asks =
        |what: &str| args.iter().any(|arg| arg.to_string_lossy().trim_start_matches('-') == what);
    if args.len() == 1 && asks("v") {
        return Ok(format!("{}:\n  Version:  {VERSION}\n", kind.runtime_type()).into_bytes());
    }
    if asks("info") {
        let features = serde_json::to_vec(&kind.features());
        let features = features.map_err(|error| CommandError::Launch(error.to_string()))?;
        return Ok(info::message(&kind.runtime_type(), VERSION, &features));
    }
    let flags = parse(args)?;
    let own = || std::env::current_dir().unwrap_or_default();
    let bundle = flags.bundle.clone().unwrap_or_else(own);
    match flags.command.as_str() {
        "start" => start(program, kind, &flags, &bundle),
        "delete" => Ok(delete(program, &flags, &bundle)),
        _ => Err(CommandError::Usage),
    }
}

fn start(
    program: &Path,
    kind: Kind,
    flags: &Flags,
    bundle: &Path,
) -> Result<Vec<u8>, CommandError> {
    let dir = flags.pod_dir(&group_of(bundle, &flags.id)?);
    let socket = dir.join(names::TASK_SOCKET);
    if UnixStream::connect(&socket).is_err() {
        launch_pod(program, kind, flags, &dir)?;
    }
    let address = format!("unix://{}", socket.display());
    write(&bundle.join("address"), address.as_bytes())?;
    Ok(address.into_bytes())
}

fn launch_pod(program: &Path, kind: Kind, flags: &Flags, dir: &Path) -> Result<(), CommandError> {
    let failed = |path: &Path, error: std::io::Error| CommandError::File {
        action: "make",
        path: path.to_owned(),
        cause: error.to_string(),
    };
    // One that is about to leave is waited for.
    let end = Instant::now() + LEAVING;
    while dir.exists() && is_alive(dir).unwrap_or(true) && Instant::now() < end {
        std::thread::sleep(PAUSE);
    }
    if dir.exists() && !is_alive(dir).unwrap_or(true) {
        // What an earlier one has left goes first.
        collect(program, dir).map_err(|error| CommandError::Launch(error.to_string()))?;
        remove_collected(dir.to_owned(), end).map_err(CommandError::Launch)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o711);
    builder.create(PODS).map_err(|error| failed(Path::new(PODS), error))?;
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).create(dir).map_err(|error| failed(dir, error))?;
    let config = PodConfig {
        id: flags.id.clone(),
        isolator: kind.isolator().to_owned(),
        oci: None,
        shim: None,
        state_root: dir.join(kind.isolator()),
        sentry: SentryOptions::default(),
        systemd_cgroup: wants_systemd(),
        rootless: Some(false),
        cgroup: None,
        containers: Vec::new(),
        exit_command: Vec::new(),
        linger: true,
        containerd: Some(ContainerdConfig {
            namespace: flags.namespace.clone(),
            events: std::env::var_os("TTRPC_ADDRESS").map(PathBuf::from),
        }),
        step_limit_ms: None,
    };
    let text =
        serde_json::to_vec(&config).map_err(|error| CommandError::Launch(error.to_string()))?;
    write(&dir.join(names::CONFIG), &text)?;
    launch(program, dir, &LaunchFds::default())
        .and_then(crate::client::Launched::commit)
        .map(drop)
        .map_err(|error| {
            let _ = std::fs::remove_dir_all(dir);
            CommandError::Launch(error.to_string())
        })
}

/// Whether containerd's options for the runtime, on standard input, ask for
/// cgroups by systemd (`containerd.runc.v1.Options`, field 9). They come alone or
/// among what else a shim is told, by containerd's age.
fn wants_systemd() -> bool {
    let mut bytes = Vec::new();
    let read =
        std::io::Read::read_to_end(&mut std::io::Read::take(std::io::stdin(), 1 << 20), &mut bytes);
    read.is_ok() && asks_for_systemd(&bytes)
}

fn asks_for_systemd(told: &[u8]) -> bool {
    let among = Bootstrap::options_in(told).unwrap_or_default();
    std::iter::once(told).chain(among).any(|options| {
        let Ok(any) = Message::parse(options) else { return false };
        let ours = any.text(1).is_ok_and(|kind| kind.ends_with("containerd.runc.v1.Options"));
        ours && Message::parse(any.bytes(2)).is_ok_and(|options| options.flag(9))
    })
}

/// Removes what is left of a container whose supervisor does not answer.
fn delete(program: &Path, flags: &Flags, bundle: &Path) -> Vec<u8> {
    let dir = match group_of(bundle, &flags.id) {
        Ok(group) => flags.pod_dir(&group),
        // Whoever has asked containerd to forget the container may be first.
        Err(_) => pod_of(bundle, &flags.id).unwrap_or_else(|| flags.pod_dir(&flags.id)),
    };
    let lost = ExitRecord::lost("its supervisor was lost");
    let record = match connect(&dir) {
        Ok(shim) => {
            let container = shim.container(&flags.id);
            let record = container.stop(Some(Duration::ZERO), Some(9)).ok();
            let _ = container.remove(true);
            record
        }
        Err(_) if !dir.exists() => None,
        Err(_) => {
            // Its guard may be at work on the same.
            let end = Instant::now() + LEAVING;
            while matches!(collect(program, &dir), Err(CollectError::Alive(_)))
                && Instant::now() < end
            {
                std::thread::sleep(PAUSE);
            }
            let record = exit_record(&dir, &flags.id);
            for kind in [names::CONTAINERS, names::EXIT] {
                let _ = std::fs::remove_file(dir.join(kind).join(&flags.id));
            }
            remove_forgotten(dir, end);
            record
        }
    };
    let record = record.unwrap_or(lost);
    deleted(0, Exit { status: record.code.into(), at: record.finished_at })
}

fn write(path: &Path, text: &[u8]) -> Result<(), CommandError> {
    std::fs::File::create(path).and_then(|mut file| file.write_all(text)).map_err(|error| {
        CommandError::File { action: "write", path: path.to_owned(), cause: error.to_string() }
    })
}

#[cfg(test)]
mod tests {
    use caisson_containerd::protobuf::{Writer, any};

    use super::*;

    fn flags(text: &str) -> Result<Flags, CommandError> {
        parse(&text.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_containerds() {
        let parsed = flags(
            "-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd -id x -debug start",
        )
        .unwrap();
        assert_eq!((parsed.namespace.as_str(), parsed.id.as_str()), ("k8s.io", "x"));
        assert_eq!((parsed.command.as_str(), parsed.bundle.clone()), ("start", None));
        let other = flags("--namespace=a --id=x --bundle=/b delete").unwrap();
        assert_eq!(other.bundle, Some("/b".into()));
        assert_ne!(parsed.pod_dir("x"), other.pod_dir("x"));
        assert_eq!(parsed.pod_dir("x"), parsed.pod_dir("x"));
        assert!(flags("start").is_err());
        assert!(flags("-namespace a -id").is_err());
    }

    #[test]
    fn the_name_says_which() {
        let of = |name: &str| Kind::of(OsStr::new(name));
        assert_eq!(of("/bin/containerd-shim-caisson-sentry-v2").unwrap(), Kind::Sentry);
        assert_eq!(of("containerd-shim-caisson-native-v2").unwrap(), Kind::Native);
        assert_eq!(Kind::Sentry.runtime_type(), "io.containerd.caisson-sentry.v2");
        assert!(of("containerd-shim-other-v2").unwrap_err().to_string().contains("other"));
    }

    #[test]
    fn systemd_is_asked_for_in_either_form() {
        let runc = |flag| {
            let options = Writer::default().number(9, flag).done();
            any("containerd.runc.v1.Options", &options)
        };
        for flag in [0, 1] {
            let options = runc(flag);
            let among =
                Bootstrap { id: "x", namespace: "n", options: &options, ..Bootstrap::default() };
            assert_eq!(asks_for_systemd(&options), flag == 1);
            assert_eq!(asks_for_systemd(&among.message()), flag == 1);
        }
        assert!(!asks_for_systemd(b"nonsense"));
    }
}
