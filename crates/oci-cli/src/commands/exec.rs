//! `exec`: a further process in a running container.

use caisson_isolator::{ContainerStatus, ExecRequest, SandboxError};
use caisson_runtime_spec::{Process, Spec, validate_process};

use super::Command;
use super::create::{CONSOLE_SOCKET, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS};
use super::run::DETACH;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind, Parsed, utf8};
use crate::invocation::Invocation;
use crate::launch::{Launch, foreground};

pub(crate) const COMMAND: Command = Command {
    name: "exec",
    summary: "run a further process in a container",
    arguments: "<container-id> <command> [command options]  || -p process.json <container-id>",
    details: "The process is the one of the container's config.json with the given command and \
              changes,\nor the one that a file describes, which then counts alone. Everything \
              after the\ncontainer's name belongs to the command.",
    flags: &[
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        Flag::new("cwd", Kind::Text, "working directory inside the container"),
        Flag::new("env", Kind::Texts, "NAME=value to add to the environment").short('e'),
        Flag::new("tty", Kind::Switch, "allocate a pseudo-terminal").short('t'),
        Flag::new("user", Kind::Text, "numeric user, as <uid>[:<gid>]").short('u'),
        Flag::new("additional-gids", Kind::Integers, "numeric supplementary group").short('g'),
        Flag::new("process", Kind::Text, "file with the process as JSON").short('p'),
        DETACH,
        PID_FILE,
        Flag::new("process-label", Kind::Text, "SELinux label of the process"),
        Flag::new("apparmor", Kind::Text, "AppArmor profile of the process"),
        Flag::new("no-new-privs", Kind::Switch, "forbid to gain privileges by execve"),
        Flag::new("cap", Kind::Texts, "capability to add, such as CAP_NET_RAW").short('c'),
        PRESERVE_FDS,
        Flag::new(
            "cgroup",
            Kind::Texts,
            "existing cgroup below the container's, as path or, on cgroup v1, \
             controller[,controller]:path",
        ),
        Flag::new("ignore-paused", Kind::Switch, "go ahead although the container is paused"),
    ],
    end: FlagsEnd::AtFirst,
    counts: (1, None),
    run: |invocation| exec(invocation).map_err(|error| error.within("exec failed", 255)),
};

fn exec(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    invocation.protect()?;
    let flags = invocation.flags;
    let cgroups = cgroups(&flags.texts("cgroup")?)?;
    let container = invocation.container()?;
    let mut process = match flags.filled_path("process") {
        Some(path) => Process::load(&path)?,
        None => {
            let info = container.info()?;
            refuse_status(info.id.as_str(), info.status, flags.switch("ignore-paused"))?;
            let mut spec = Spec::load(&info.bundle.join("config.json"))?;
            let process = spec.process.take().ok_or_else(|| {
                CliError::Refused("process property must not be empty".to_owned())
            })?;
            changed(process, flags)?
        }
    };
    check(&process)?;
    validate_process(&process, "process")?;
    let mut launch = Launch::new(flags, flags.switch("detach"))?;
    launch.check_terminal(process.terminal)?;
    launch.claim_descriptors(0)?;
    let console = launch.console(process.terminal)?;
    process.console_size = console.size().or(process.console_size);
    let pidfd_socket = launch.connect_pidfd_socket()?;
    let signals = if launch.detach { None } else { Some(foreground::Signals::take()?) };
    let request = ExecRequest {
        process,
        console: console.for_engine,
        preserve_fds: launch.preserve_fds,
        cgroups,
        ignore_paused: flags.switch("ignore-paused"),
    };
    let spawned = container.exec(request).map_err(|error| match error {
        SandboxError::WrongStatus { id, status, .. } => {
            refuse_status(&id, status, false).err().unwrap_or_else(|| {
                CliError::Refused(format!("container not running: {id:?} is {status}"))
            })
        }
        other => other.into(),
    })?;
    let published = launch.publish(&spawned, pidfd_socket, "setns");
    let waited = published.and_then(|()| match signals {
        None => Ok(0),
        Some(signals) => signals
            .wait(&spawned, console.proxy, invocation.log)
            .map(caisson_isolator::ExitStatus::shell_code),
    });
    if waited.is_err() {
        foreground::end(&spawned);
    }
    waited
}

fn refuse_status(id: &str, status: ContainerStatus, ignore_paused: bool) -> Result<(), CliError> {
    let why = match status {
        ContainerStatus::Stopped => "cannot exec in a stopped container",
        ContainerStatus::Paused if !ignore_paused => {
            "cannot exec in a paused container (use --ignore-paused to override)"
        }
        _ => return Ok(()),
    };
    Err(CliError::Refused(format!("{why}: {id:?}")))
}

/// The container's own process with what the flags change.
fn changed(mut process: Process, flags: &Parsed<'_>) -> Result<Process, CliError> {
    let command = flags.positionals().get(1..).unwrap_or_default();
    if command.is_empty() {
        return Err(CliError::Refused("exec args cannot be empty".to_owned()));
    }
    process.args = command
        .iter()
        .map(|arg| utf8("the command", arg).map(str::to_owned))
        .collect::<Result<_, _>>()?;
    if let Some(cwd) = flags.filled("cwd")? {
        cwd.clone_into(&mut process.cwd);
    }
    if let Some(profile) = flags.filled("apparmor")? {
        process.apparmor_profile = Some(profile.to_owned());
    }
    if let Some(label) = flags.filled("process-label")? {
        process.selinux_label = Some(label.to_owned());
    }
    for name in flags.texts("cap")? {
        let sets = process.capabilities.get_or_insert_default();
        // Ambient needs inheritable, which the flag does not give.
        let inherits = !sets.inheritable.is_empty();
        let mut wanted = vec![&mut sets.bounding, &mut sets.effective, &mut sets.permitted];
        if inherits {
            wanted.push(&mut sets.ambient);
        }
        for set in wanted {
            if !set.insert_name(name) {
                return Err(CliError::Refused(format!("unknown capability {name:?} of --cap")));
            }
        }
    }
    process.env.extend(flags.texts("env")?.into_iter().map(str::to_owned));
    process.terminal = flags.switch("tty");
    if let Some(set) = flags.switch_if_set("no-new-privs") {
        process.no_new_privileges = set;
    }
    if let Some(user) = flags.filled("user")? {
        let (uid, gid) = user.split_once(':').map_or((user, None), |(u, g)| (u, Some(g)));
        if let Some(gid) = gid {
            process.user.gid = numeric_id("gid", gid)?;
        }
        process.user.uid = numeric_id("uid", uid)?;
    }
    for gid in flags.integers("additional-gids") {
        let gid = u32::try_from(gid).map_err(|_| {
            CliError::Refused(format!("additional-gids must be a positive number {gid}"))
        })?;
        process.user.additional_gids.push(gid);
    }
    Ok(process)
}

/// An id below 2^32 - 1, which means "no id" to the kernel.
fn numeric_id(what: &str, text: &str) -> Result<u32, CliError> {
    // Rust's parser would take a leading plus.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u32>().ok().filter(|id| digits && *id != u32::MAX);
    number.ok_or_else(|| CliError::Refused(format!("bad {what} {text:?} of --user: not a number")))
}

/// What runc demands of any process.
fn check(process: &Process) -> Result<(), CliError> {
    let why = if process.cwd.is_empty() {
        "Cwd property must not be empty"
    } else if !process.cwd.starts_with('/') {
        "Cwd must be an absolute path"
    } else if process.args.is_empty() {
        "args must not be empty"
    } else {
        return Ok(());
    };
    Err(CliError::Refused(why.to_owned()))
}

/// The values of `--cgroup`, one per controller: `path`, or `controller:path`.
fn cgroups(args: &[&str]) -> Result<Vec<String>, CliError> {
    let refused = |why: String| Err(CliError::Refused(why));
    let mut found: Vec<(&str, &str)> = Vec::new();
    for arg in args {
        let Some((controllers, path)) = arg.split_once(':') else {
            if args.len() != 1 {
                return refused(format!(
                    "invalid --cgroup argument: {arg} (missing <controller>: prefix)"
                ));
            }
            return Ok(vec![(*arg).to_owned()]);
        };
        for controller in controllers.split(',') {
            if controller.is_empty() {
                return refused(format!(
                    "invalid --cgroup argument: {arg} (empty <controller> prefix)"
                ));
            }
            if found.iter().any(|(known, _)| *known == controller) {
                return refused(format!(
                    "invalid --cgroup argument(s): controller {controller} specified multiple times"
                ));
            }
            found.push((controller, path));
        }
    }
    Ok(found.into_iter().map(|(controller, path)| format!("{controller}:{path}")).collect())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use caisson_runtime_spec::{Capability, Process};

    use super::{COMMAND, cgroups, changed, check};
    use crate::flags::parse;

    fn own() -> Process {
        let json = r#"{"cwd":"/","args":["sh"],"env":["A=1"],"terminal":true,
            "user":{"uid":1,"gid":2,"additionalGids":[3]},
            "capabilities":{"bounding":["CAP_KILL"]}}"#;
        serde_json::from_str(json).unwrap()
    }

    fn apply(args: &[&str]) -> Result<Process, String> {
        let mut args = args.iter().map(OsString::from);
        let flags = parse(COMMAND.flags, &mut args, COMMAND.end).map_err(|e| e.to_string())?;
        changed(own(), &flags).map_err(|e| e.to_string())
    }

    #[test]
    fn the_command_replaces_the_args_and_keeps_its_own_flags() {
        let process = apply(&["c1", "ls", "-e", "--cwd=/x"]).unwrap();
        assert_eq!(process.args, ["ls", "-e", "--cwd=/x"]);
        assert_eq!((process.cwd.as_str(), process.terminal), ("/", false));
        assert_eq!(apply(&["c1"]).unwrap_err(), "exec args cannot be empty");
    }

    #[test]
    fn flags_change_the_process() {
        let process = apply(&[
            "-t",
            "-e",
            "B=2",
            "--env=C=3,4",
            "--cwd",
            "/tmp",
            "-u",
            "10:20",
            "-g",
            "30",
            "-g=40",
            "--cap",
            "CAP_NET_RAW",
            "--no-new-privs",
            "--apparmor",
            "p",
            "--process-label=l",
            "c1",
            "id",
        ])
        .unwrap();
        assert!(process.terminal && process.no_new_privileges);
        assert_eq!(process.env, ["A=1", "B=2", "C=3,4"]);
        assert_eq!((process.user.uid, process.user.gid), (10, 20));
        assert_eq!(process.user.additional_gids, [3, 30, 40]);
        let sets = process.capabilities.unwrap();
        assert!(sets.bounding.contains(Capability::NetRaw));
        assert!(sets.bounding.contains(Capability::Kill));
        assert!(sets.effective.contains(Capability::NetRaw));
        assert!(sets.permitted.contains(Capability::NetRaw));
        assert!(sets.ambient.is_empty() && sets.inheritable.is_empty());
        assert_eq!(process.apparmor_profile.as_deref(), Some("p"));
        assert_eq!(process.selinux_label.as_deref(), Some("l"));
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        for (args, word) in [
            (["-u", "root", "c1", "id"], "uid"),
            (["-u", "1:x", "c1", "id"], "gid"),
            (["-u", "4294967295", "c1", "id"], "uid"),
            (["-g", "-1", "c1", "id"], "additional-gids"),
            (["-c", "CAP_NONE", "c1", "id"], "CAP_NONE"),
        ] {
            let error = apply(&args).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let mut process = own();
        process.cwd = "tmp".into();
        assert!(check(&process).unwrap_err().to_string().contains("absolute"));
    }

    #[test]
    fn cgroups_are_split_by_controller() {
        assert_eq!(cgroups(&["sub/a"]).unwrap(), ["sub/a"]);
        assert_eq!(
            cgroups(&["cpu,cpuacct:x", "pids:y"]).unwrap(),
            ["cpu:x", "cpuacct:x", "pids:y"]
        );
        assert!(cgroups(&["a", "b"]).unwrap_err().to_string().contains("missing <controller>"));
        assert!(cgroups(&[":a"]).unwrap_err().to_string().contains("empty <controller>"));
        assert!(cgroups(&["cpu:a", "cpu:b"]).unwrap_err().to_string().contains("multiple times"));
    }
}
