//! The entry point: global flags, then one command.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use caisson_isolator::{Isolator, SandboxError};

use crate::commands::{self, Command};
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind, Parsed, parse};
use crate::invocation::Invocation;
use crate::log::{Format, Log};
use crate::{help, output};

/// A runtime program: its name, and the engine behind it.
pub struct Runtime {
    /// The program's name, such as `caisson-native`. Without a leading
    /// `caisson-` it names the state directory.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One or more lines that say what it is, for `--help`.
    pub description: &'static str,
    /// Executes the program again from an image that no container can write,
    /// or does nothing if it runs from one already. Called before `create`,
    /// `run` and `exec` do anything.
    pub protect: fn() -> std::io::Result<()>,
    /// Global flags that only this engine has.
    pub flags: &'static [EngineFlag],
    /// Opens the engine.
    pub open: fn(&RuntimeOptions) -> Result<Box<dyn Isolator>, SandboxError>,
}

/// A global flag of one engine's own.
#[derive(Clone, Copy, Debug)]
pub struct EngineFlag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it does, for `--help`.
    pub help: &'static str,
    kind: Kind,
    hidden: bool,
}

impl EngineFlag {
    /// One with a text.
    #[must_use]
    pub const fn text(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Text, hidden: false }
    }

    /// One that is `true` where it stands alone.
    #[must_use]
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Switch, hidden: false }
    }

    /// Left out of `--help`.
    #[must_use]
    pub const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    fn flag(&self) -> Flag {
        let flag = Flag::new(self.name, self.kind, self.help);
        if self.hidden { flag.hidden() } else { flag }
    }
}

impl Runtime {
    /// All global flags.
    pub(crate) fn global_flags(&self) -> Vec<Flag> {
        let own = self.flags.iter().map(EngineFlag::flag);
        own.chain(GLOBAL_FLAGS.iter().copied()).collect()
    }
}

/// What the global flags say.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Absolute path of the state directory; it may not exist yet.
    pub root: PathBuf,
    /// cgroups are made by systemd; `cgroupsPath` is `slice:prefix:name`.
    pub systemd_cgroup: bool,
    /// Whether a lack of rights over cgroups is forgiven; `None`: find out.
    pub rootless: Option<bool>,
    /// Log more.
    pub debug: bool,
    /// The engine's own flags that were given, with their values: `true` or `false` for
    /// switches.
    pub engine: Vec<(&'static str, String)>,
}

impl RuntimeOptions {
    /// The value of one of the engine's own flags, if it was given.
    #[must_use]
    pub fn engine_flag(&self, name: &str) -> Option<&str> {
        self.engine.iter().find(|(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }
}

/// The flags before the command.
pub(crate) const GLOBAL_FLAGS: &[Flag] = &[
    Flag::new("debug", Kind::Switch, "log what is done, not only what fails"),
    Flag::new("log", Kind::Text, "file to append the log to (default: standard error)"),
    Flag::new("log-format", Kind::Text, "format of the log: text or json (default: text)"),
    Flag::new("root", Kind::Text, "directory for the state of containers, best on a tmpfs"),
    Flag::new("criu", Kind::Text, "accepted and ignored").hidden(),
    Flag::new(
        "systemd-cgroup",
        Kind::Switch,
        "let systemd make cgroups; cgroupsPath is then slice:prefix:name, \
         such as system.slice:caisson:434234",
    ),
    Flag::new(
        "rootless",
        Kind::Text,
        "tolerate missing rights over cgroups: true, false or auto (default: auto)",
    ),
    Flag::new("help", Kind::Switch, "show this help").short('h'),
    Flag::new("version", Kind::Switch, "print the version").short('v'),
];

/// Runs one command line, program name first, and returns the exit code.
///
/// Errors go to the log, and to standard error if the log is a file.
#[must_use]
pub fn main(runtime: &Runtime, args: impl Iterator<Item = OsString>) -> u8 {
    let mut log = Log::default();
    match run(runtime, &mut args.skip(1), &mut log) {
        Ok(code) => code,
        Err(error) => {
            log.fatal(&error.to_string());
            error.exit_code()
        }
    }
}

fn run(
    runtime: &Runtime,
    args: &mut dyn Iterator<Item = OsString>,
    log: &mut Log,
) -> Result<u8, CliError> {
    let known = runtime.global_flags();
    let global = match parse(&known, args, FlagsEnd::AtCommand) {
        Ok(global) => global,
        Err(error) => {
            let heading = format!("Incorrect Usage. {error}\n\n");
            output::stdout((heading + &help::program(runtime)).as_bytes())?;
            return Err(error);
        }
    };
    configure_log(&global, log)?;
    if global.switch("version") {
        let spec = caisson_runtime_spec::VERSION;
        let text = format!("{} version {}\nspec: {spec}\n", runtime.name, runtime.version);
        return output::stdout(text.as_bytes()).map(|()| 0);
    }
    let name = global.positional(0).and_then(|name| name.to_str());
    let show_help = global.switch("help") || global.positionals().is_empty();
    if show_help || matches!(name, Some("help" | "h")) {
        return explain(runtime, args);
    }
    let Some(command) = name.and_then(commands::find) else {
        let name = name.unwrap_or_default().to_owned();
        return Err(CliError::UnknownCommand(name));
    };
    let flags = match parse(command.flags, args, command.end) {
        Ok(flags) => flags,
        Err(CliError::HelpAsked) => {
            let text = help::command(runtime, command);
            return output::stdout(text.as_bytes()).map(|()| 0);
        }
        Err(error) => {
            let heading = format!("Incorrect Usage: {error}\n\n");
            output::stdout((heading + &help::command(runtime, command)).as_bytes())?;
            return Err(error);
        }
    };
    if let Err(error) = check_count(runtime, command, flags.positionals().len()) {
        let heading = "Incorrect Usage.\n\n".to_owned();
        output::stdout((heading + &help::command(runtime, command)).as_bytes())?;
        return Err(error);
    }
    let (options, root) = options(runtime, &global)?;
    log.debug(|| {
        let arguments = flags.positionals().iter().map(|argument| argument.to_string_lossy());
        [command.name.into()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
    });
    (command.run)(&Invocation { runtime, options: &options, root, log, flags: &flags })
}

/// `help`, `help COMMAND`, or no command at all.
fn explain(runtime: &Runtime, args: &mut dyn Iterator<Item = OsString>) -> Result<u8, CliError> {
    let text = match args.next() {
        None => help::program(runtime),
        Some(name) => match name.to_str().and_then(commands::find) {
            Some(command) => help::command(runtime, command),
            None => return Err(CliError::UnknownCommand(name.to_string_lossy().into_owned())),
        },
    };
    output::stdout(text.as_bytes()).map(|()| 0)
}

fn check_count(runtime: &Runtime, command: &Command, count: usize) -> Result<(), CliError> {
    let refuse = |what: &str, bound: usize| {
        let (program, command) = (runtime.name, command.name);
        Err(CliError::Usage(format!("{program}: {command:?} requires {what} {bound} argument(s)")))
    };
    let (least, most) = command.counts;
    match most {
        Some(most) if most == least && count != most => refuse("exactly", most),
        _ if count < least => refuse("a minimum of", least),
        Some(most) if count > most => refuse("a maximum of", most),
        _ => Ok(()),
    }
}

fn configure_log(global: &Parsed<'_>, log: &mut Log) -> Result<(), CliError> {
    log.debug = global.switch("debug");
    log.format = match global.text("log-format")? {
        None | Some("" | "text") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => return Err(CliError::Refused(format!("invalid log-format: {other}"))),
    };
    log.file = global.path("log");
    Ok(())
}

/// Where the state directory's path comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootSource {
    /// `--root`.
    Flag,
    /// `$XDG_RUNTIME_DIR`, which may be cleaned up unless marked.
    UserRuntimeDir,
    /// Built in.
    Default,
}

fn options(
    runtime: &Runtime,
    global: &Parsed<'_>,
) -> Result<(RuntimeOptions, RootSource), CliError> {
    let (root, source) = match global.path("root") {
        Some(root) => (given_root(&root)?, RootSource::Flag),
        None => default_root(runtime.name),
    };
    let rootless =
        match global.text("rootless")? {
            None => None,
            Some(text) if text.is_empty() || text.eq_ignore_ascii_case("auto") => None,
            Some(text) => Some(crate::flags::boolean(text).ok_or_else(|| {
                CliError::Refused(format!("invalid value {text:?} for --rootless"))
            })?),
        };
    let systemd_cgroup = global.switch("systemd-cgroup");
    let debug = global.switch("debug");
    let mut engine = Vec::new();
    for flag in runtime.flags {
        let value = match flag.kind {
            Kind::Switch => global.switch_if_set(flag.name).map(|on| on.to_string()),
            _ => global.text(flag.name)?.map(str::to_owned),
        };
        engine.extend(value.map(|value| (flag.name, value)));
    }
    Ok((RuntimeOptions { root, systemd_cgroup, rootless, debug, engine }, source))
}

fn given_root(root: &Path) -> Result<PathBuf, CliError> {
    let refused = || CliError::Refused("Option --root argument should not be set to /".to_owned());
    if root.as_os_str().is_empty() {
        return Err(refused());
    }
    let absolute = std::path::absolute(root)
        .map_err(|e| CliError::io(format!("resolve --root {}", root.display()), e))?;
    let names_something = absolute.components().fold(0_usize, |depth, part| match part {
        std::path::Component::Normal(_) => depth + 1,
        std::path::Component::ParentDir => depth.saturating_sub(1),
        _ => depth,
    });
    if names_something == 0 { Err(refused()) } else { Ok(absolute) }
}

fn default_root(name: &str) -> (PathBuf, RootSource) {
    let isolator = name.strip_prefix("caisson-").unwrap_or(name);
    if let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR")
        && !dir.is_empty()
        && honours_user_runtime_dir()
    {
        let root = Path::new(&dir).join("caisson").join(isolator);
        return (root, RootSource::UserRuntimeDir);
    }
    (Path::new("/run/caisson").join(isolator), RootSource::Default)
}

/// Root of the host keeps its state in /run, whatever its session says; root
/// of a user namespace is somebody's user, unless it calls itself root.
fn honours_user_runtime_dir() -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    let in_user_namespace = std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| !map.split_whitespace().eq(["0", "0", "4294967295"]));
    in_user_namespace && std::env::var_os("USER").is_none_or(|user| user != "root")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::given_root;

    #[test]
    fn the_state_directory_is_absolute_and_not_the_root() {
        assert_eq!(given_root(Path::new("/a/./b")).unwrap(), Path::new("/a/b"));
        assert!(given_root(Path::new("a")).unwrap().is_absolute());
        for bad in ["", "/", "//", "/a/..", "../../../../../../../../../../../.."] {
            assert!(given_root(Path::new(bad)).is_err(), "{bad:?}");
        }
    }
}
