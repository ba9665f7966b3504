//! `caisson-sentry`: an OCI runtime whose containers have a Linux kernel of their
//! own, in user space.
#![no_main]

mod flags;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use caisson_oci_cli::{Runtime, RuntimeOptions};
use caisson_sentry::net::{Outside, OutsideError, Uplink};
use caisson_sentry::oci::SentryIsolator;
use caisson_sentry::vfs::setup::{Layout, MountRequest, Overlay};
use caisson_sentry::{CapabilitySets, LaunchError, Program, run};

const USAGE: &str = "\
Usage: caisson-sentry do [OPTIONS] PROGRAM [ARGUMENT...]

Runs a program on a kernel of its own, in user space, which decides on each of its
system calls, and serves all but a few about its own memory and threads:
caisson-sentry(8) says which.

Options:
      --root FOLDER   the program's root file system (default: /)
      --cwd FOLDER    its working directory (default: /)
      --env NAME=VALUE  a variable; may be repeated
      --user UID:GID  who it is inside (default: 0:0)
      --mount type=TYPE,src=PATH,dst=PATH,options=A:B
                      mounts a folder or file of the host's (bind), tmpfs, proc,
                      sysfs or devtmpfs; may be repeated
      --read-only     its root file system can't be written
      --overlay2 WHERE  what is written: none: goes to the folder (the default);
                      root:memory: stays in the sandbox's memory and ends with it;
                      root:self: the same, its content on the folder's disk, in
                      files without a name; root:dir=/FOLDER: on that folder's disk;
                      all:memory and so on: so does what is written to bind mounts;
                      with ,size=BYTES (k, m, g) behind it no more than that
      --network MODE  none: a loopback interface alone (the default); sandbox: the
                      interface of the namespace --netns, by a TCP/IP of its own, with
                      the addresses and routes that it has there; host-sockets: sockets
                      of the host's kernel, faster and a weaker wall
      --netns FILE    a network namespace: sandbox takes its addresses over,
                      host-sockets makes its sockets there instead of in the caller's
  -h, --help          print this
  -V, --version       print the version";

/// What the command line asks for.
enum Request {
    Print(String),
    Run(PathBuf, Box<Layout>, Box<Program>, Way),
}

/// What `--network` and `--netns` say.
enum Way {
    None,
    Sandbox(PathBuf),
    HostSockets(Option<PathBuf>),
}

impl Way {
    fn open(self) -> Result<Uplink, OutsideError> {
        match self {
            Way::None => Ok(Uplink::None),
            Way::Sandbox(path) => Outside::take(&path).map(|o| Uplink::Interface(Box::new(o))),
            Way::HostSockets(path) => {
                if let Some(path) = &path {
                    Outside::enter(path)?;
                }
                Uplink::host_sockets()
            }
        }
    }
}

fn parse(args: Vec<OsString>) -> Result<Request, String> {
    use lexopt::Arg::{Long, Short, Value};
    let mut parser = lexopt::Parser::from_args(args);
    let mut program = Program {
        path: Vec::new(),
        arguments: Vec::new(),
        environment: Vec::new(),
        directory: b"/".to_vec(),
        owner: (0, 0),
        groups: Vec::new(),
        umask: 0o022,
        caps: CapabilitySets::of_user(0),
        limits: Vec::new(),
    };
    let (mut root, mut layout) = (PathBuf::from("/"), Layout::usual());
    let (mut network, mut namespace) = ("none", None);
    let text = |e: lexopt::Error| format!("{e}; see `caisson-sentry --help`");
    while let Some(argument) = parser.next().map_err(text)? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Print(USAGE.to_owned())),
            Short('V') | Long("version") => {
                let version = env!("CARGO_PKG_VERSION");
                return Ok(Request::Print(format!("caisson-sentry {version}")));
            }
            Long("root") => root = parser.value().map_err(text)?.into(),
            Long("cwd") => {
                program.directory = parser.value().map_err(text)?.into_vec();
            }
            Long("env") => {
                program.environment.push(parser.value().map_err(text)?.into_vec());
            }
            Long("mount") => {
                let value = parser.value().map_err(text)?;
                let mount = MountRequest::parse(&value).map_err(|error| error.to_string())?;
                layout.mounts.push(mount);
            }
            Long("network") => match parser.value().map_err(text)?.to_str() {
                Some("none") => network = "none",
                Some("sandbox") => network = "sandbox",
                Some("host-sockets") => network = "host-sockets",
                _ => return Err("--network takes none, sandbox or host-sockets".to_owned()),
            },
            Long("netns") => namespace = Some(PathBuf::from(parser.value().map_err(text)?)),
            Long("read-only") => layout.read_only = true,
            Long("overlay2") => {
                let value = parser.value().map_err(text)?;
                let overlay = Overlay::parse(&value.to_string_lossy());
                layout.overlay = overlay.map_err(|error| error.to_string())?;
            }
            Long("user") => {
                let value = parser.value().map_err(text)?;
                program.owner = owner(&value.to_string_lossy())
                    .ok_or("--user takes numbers, as in --user 1000:1000")?;
            }
            Value(path) => {
                program.path = path.clone().into_vec();
                program.arguments = vec![path.into_vec()];
                program.groups = vec![program.owner.1];
                let rest = parser.raw_args().map_err(text)?;
                program.arguments.extend(rest.map(OsString::into_vec));
                let way = match (network, namespace) {
                    ("sandbox", Some(namespace)) => Way::Sandbox(namespace),
                    ("sandbox", None) => return Err("--network sandbox needs --netns".to_owned()),
                    ("host-sockets", namespace) => Way::HostSockets(namespace),
                    (_, None) => Way::None,
                    (_, Some(_)) => {
                        let needs = "--netns needs --network sandbox or host-sockets";
                        return Err(needs.to_owned());
                    }
                };
                return Ok(Request::Run(root, Box::new(layout), Box::new(program), way));
            }
            other => return Err(text(other.unexpected())),
        }
    }
    Err("no program; see `caisson-sentry --help`".to_owned())
}

fn owner(text: &str) -> Option<(u32, u32)> {
    let (user, group) = text.split_once(':').unwrap_or((text, "0"));
    Some((user.parse().ok()?, group.parse().ok()?))
}

fn report(error: &LaunchError) {
    eprintln!("caisson-sentry: {error}");
}

/// `caisson-sentry do …`
fn start_alone(args: Vec<OsString>) -> u8 {
    match parse(args) {
        Ok(Request::Print(text)) => {
            println!("{text}");
            0
        }
        Ok(Request::Run(root, layout, program, way)) => {
            let ended = way.open().map_err(LaunchError::from);
            let ended = ended.and_then(|uplink| run(&root, &layout, &program, uplink, report));
            ended.unwrap_or_else(|error| {
                report(&error);
                127
            })
        }
        Err(message) => {
            eprintln!("caisson-sentry: {message}");
            2
        }
    }
}

fn start(args: Vec<OsString>) -> u8 {
    if args.get(1).is_some_and(|word| word == "do") {
        return start_alone(args.into_iter().skip(2).collect());
    }
    let runtime = Runtime {
        name: "caisson-sentry",
        version: env!("CARGO_PKG_VERSION"),
        description: "An OCI runtime: containers on a Linux kernel of their own, in user space \
                      (`caisson-sentry do --help`: a program without a container)",
        protect: caisson_sys::protect::protect,
        flags: flags::FLAGS,
        open: |options: &RuntimeOptions| {
            Ok(Box::new(SentryIsolator::new(flags::settings(options)?)))
        },
    };
    caisson_oci_cli::main(&runtime, args.into_iter())
}

caisson_sys::entry!(start);
