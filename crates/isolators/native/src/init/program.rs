//! The user's program: from its description to execve.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use caisson_rootpath::Root;
use caisson_runtime_spec::{Hook, Process, Rlimit, User};
use caisson_seccomp::Filter;
use caisson_sys::exec::{StringArray, execve};
use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Mode, Uid, accessat, fchown, fstat, statat};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{DumpableBehavior, fchdir, getcwd, set_dumpable_behavior};

use super::identity::{self, Capabilities5};
use super::{Console, limits};
use crate::channel::{Channel, Word};
use crate::guest::{Guest, GuestKernel, StartReport};
use crate::step::{Context, StepError};
use crate::{hooks, lsm};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More of `/etc/passwd` is not read for a home directory.
const PASSWD_LIMIT: usize = 1 << 20;

/// A program, checked and ready to be executed.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
    args: StringArray,
    env: StringArray,
    user: User,
    capabilities: Capabilities5,
    no_new_privileges: bool,
    labels: lsm::Labels,
    /// Could not be entered as root; the user may.
    late_cwd: Option<CString>,
    rlimits: Vec<Rlimit>,
}

impl Program {
    /// Checks everything that can be checked before the program starts, and
    /// enters its working directory. `root` is the container's, which the
    /// caller is in. A `guest`'s resource limits are its own kernel's to set.
    pub(crate) fn prepare(process: &Process, root: &Root, guest: bool) -> Result<Self, StepError> {
        lsm::check(process)?;
        limits::apply_scheduling(process)?;
        own_streams(process.user.uid);
        let late_cwd = enter_cwd(process, root)?;
        let env = environment(process, root)?;
        let path = find(process, &env)?;
        let capabilities = process.capabilities.as_ref().map(Capabilities5::from);
        let args =
            process.args.iter().map(|arg| c_string("args", arg)).collect::<Result<_, _>>()?;
        if !guest {
            limits::apply_rlimits(&process.rlimits, false)?;
        }
        Ok(Self {
            path,
            args: StringArray::new(args),
            env: StringArray::new(env),
            user: process.user.clone(),
            capabilities: capabilities.unwrap_or_default(),
            no_new_privileges: process.no_new_privileges,
            labels: lsm::Labels::from(process),
            late_cwd,
            rlimits: process.rlimits.clone(),
        })
    }
}

/// The last leg: wait for `start`, drop privileges, execute.
pub(crate) struct Finish {
    pub(crate) program: Program,
    pub(crate) filter: Option<Filter>,
    pub(crate) console: Option<Console>,
    pub(crate) preserve_fds: u32,
    /// Where `start` connects; `None` to go on at once.
    pub(crate) start: Option<OwnedFd>,
    /// What runs the program, and its control socket; `None`: execve(2).
    pub(crate) kernel: Option<(Rc<dyn GuestKernel>, OwnedFd)>,
    /// See [`Guest::cgroups`].
    pub(crate) cgroups: Vec<OwnedFd>,
    /// See [`Guest::opened`].
    pub(crate) opened: Vec<OwnedFd>,
    /// Whether the process may be looked at while it waits for `start`: an
    /// owner without root could not `exec` into the container otherwise, as
    /// what is not dumpable is root's. Who is inside and was not given
    /// CAP_SYS_PTRACE still can't trace it, as it has more capabilities
    /// (ptrace(2)).
    pub(crate) owner_may_enter: bool,
    pub(crate) start_hooks: Vec<Hook>,
    pub(crate) start_state: Vec<u8>,
    /// Where failures are told when there is no `start`.
    pub(crate) report: Channel,
}

impl Finish {
    /// Executes the program; returns an exit code if that failed. Nothing of
    /// the caller's but this value may be used, or dropped, afterwards.
    pub(crate) fn run(self) -> u8 {
        // Before the runtime hears that all is ready: whoever called it waits
        // for the end of the streams that the terminal replaces.
        let ready = self
            .console
            .as_ref()
            .map_or(Ok(()), Console::take)
            .and_then(|()| self.close_others())
            .and_then(|()| self.heed_termination())
            .and_then(|()| self.report.send(Word::Ready, b""))
            .and_then(|()| self.report.expect(Word::Ready));
        match ready {
            Ok(_) => self.wait_and_execute(),
            Err(error) => {
                self.report.send_error(&error);
                255
            }
        }
    }

    /// Closes what the program and the wait for `start` do not need.
    fn close_others(&self) -> Result<(), StepError> {
        let mut keep = vec![self.report.as_fd()];
        keep.extend(self.start.as_ref().map(AsFd::as_fd));
        keep.extend(self.kernel.as_ref().map(|(_, socket)| socket.as_fd()));
        keep.extend(self.kernel.as_ref().and_then(|(kernel, _)| kernel.elsewhere()));
        keep.extend(self.cgroups.iter().chain(&self.opened).map(AsFd::as_fd));
        keep.extend(self.console.as_ref().map(AsFd::as_fd));
        caisson_sys::descriptors::close_all_except(self.preserve_fds.saturating_add(3), &keep)
            .context(|| "close the runtime's descriptors")
    }

    /// The first process of a PID namespace does not get signals that it has no
    /// handler for; a container that waits for `start` can be ended by SIGTERM
    /// all the same, as in runc.
    fn heed_termination(&self) -> Result<(), StepError> {
        match self.start {
            Some(_) => caisson_sys::signals::end_on_termination().context(|| "handle SIGTERM"),
            None => Ok(()),
        }
    }

    fn wait_and_execute(self) -> u8 {
        let Self {
            program,
            filter,
            start,
            kernel,
            cgroups,
            opened,
            owner_may_enter,
            start_hooks,
            start_state,
            report,
            console,
            preserve_fds,
        } = self;
        let report = match start {
            None => report,
            Some(socket) => {
                // The runtime that created us ends; only `start` is there to be told.
                drop(report);
                if owner_may_enter {
                    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
                }
                let accepted =
                    rustix::io::retry_on_intr(|| accept_with(&socket, SocketFlags::CLOEXEC));
                let Ok(connection) = accepted else { return 255 };
                if owner_may_enter && set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err()
                {
                    return 255;
                }
                Channel::over(connection)
            }
        };
        if let Some((kernel, control)) = kernel {
            let report = StartReport::over(report);
            let terminal = console.is_some();
            let (program, environment) = program.for_guest();
            let guest = Guest {
                program,
                environment,
                control,
                terminal,
                preserve_fds,
                cgroups,
                opened,
                report,
            };
            return kernel.run(guest);
        }
        // They are the image's programs: no more may be theirs than the user's.
        let as_user = || program.become_user(filter.as_ref(), None);
        // Nor is the runtime's environment theirs.
        let environment = || program.env.strings().to_vec();
        let result =
            hooks::run_as("startContainer", &start_hooks, &start_state, &environment, &as_user)
                .and_then(|()| program.become_user(filter.as_ref(), Some(&report)));
        let error = match result {
            Ok(()) => {
                let error = execve(&program.path, &program.args, &program.env);
                let name = program.path.to_string_lossy();
                Err::<(), _>(error).context(|| format!("exec {name}")).err()
            }
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            let _ = report.write(Word::Error, error.wire().as_bytes());
        }
        255
    }
}

impl Program {
    /// Its path and variables.
    fn for_guest(&self) -> (CString, Vec<CString>) {
        (self.path.clone(), self.env.strings().to_vec())
    }

    fn become_user(
        &self,
        filter: Option<&Filter>,
        report: Option<&Channel>,
    ) -> Result<(), StepError> {
        lsm::label_next_exec(&self.labels)?;
        limits::apply_rlimits(&self.rlimits, true)?;
        identity::take_user(&self.user, self.capabilities)?;
        // A change of user makes a process dumpable again by some sysctls.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "stay undumpable")?;
        caisson_sys::signals::unblock_all().context(|| "unblock signals")?;
        if let Some(cwd) = &self.late_cwd {
            rustix::process::chdir(cwd.as_c_str())
                .context(|| format!("chdir to cwd {cwd:?} set in config.json"))?;
            check_cwd()?;
        }
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true).context(|| "set no_new_privs")?;
            // Without privileges to lose, the filter comes last: it then need
            // not allow what dropping them takes.
            identity::take_capabilities(self.capabilities)?;
            install(filter, report)
        } else {
            if filter.is_some() {
                identity::raise_permitted()?;
            }
            install(filter, report)?;
            identity::take_capabilities(self.capabilities)
        }
    }
}

/// Installs the filter. A listener is handed over by number and fetched from
/// outside, with read(2) and write(2) only, which it can't be asked about.
/// Without a `report` there is no listener: what it would be asked about fails
/// with ENOSYS (seccomp_unotify(2)).
fn install(filter: Option<&Filter>, report: Option<&Channel>) -> Result<(), StepError> {
    let Some(filter) = filter else { return Ok(()) };
    let step = || "install the filter of linux.seccomp";
    let Some(listener) = filter.install().context(step)? else { return Ok(()) };
    let Some(report) = report else { return Ok(()) };
    let number = listener.as_raw_fd().to_string();
    report.write(Word::Listener, number.as_bytes()).context(step)?;
    report.read().context(step)
}

/// Takes a new session keyring, without a name: one of a name that can be
/// guessed may have been laid out by another container of the same user.
pub(crate) fn take_session_keyring() -> Result<(), StepError> {
    match caisson_sys::keyring::new_session() {
        Err(error) if error.raw_os_error() != Some(Errno::NOSYS.raw_os_error()) => {
            Err(error).context(|| "join a session keyring (use --no-new-keyring to keep the old)")
        }
        _ => Ok(()),
    }
}

fn c_string(field: &str, text: &str) -> Result<CString, StepError> {
    CString::new(text)
        .map_err(|_| "it holds a NUL byte")
        .context(|| format!("config.json: process.{field}"))
}

/// Pipes and files on the standard streams become the user's, so that
/// `/dev/stdout` can be opened; devices such as `/dev/null` stay as they are.
fn own_streams(uid: u32) {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(stat) = fstat(fd) else { continue };
        let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(1, 3);
        if stat.st_uid != uid && !is_null {
            // Not ours to give away, or not mapped: the user then shares it.
            let _ = fchown(fd, Some(Uid::from_raw(uid)), None::<Gid>);
        }
    }
}

/// Makes a missing working directory.
pub(super) fn make_cwd(process: &Process, root: &Root) -> Result<(), StepError> {
    let cwd = Path::new(&process.cwd);
    match root.resolve_dir(cwd) {
        Err(error) if error.is_not_found() => root
            .mkdir_all(cwd, Mode::from_raw_mode(0o755))
            .map(drop)
            .context(|| format!("make cwd ({:?}) set in config.json", process.cwd)),
        // What is wrong with it shows when it is entered.
        _ => Ok(()),
    }
}

fn enter_cwd(process: &Process, root: &Root) -> Result<Option<CString>, StepError> {
    let cwd = Path::new(&process.cwd);
    let step = || format!("chdir to cwd ({:?}) set in config.json failed", process.cwd);
    let directory = match root.resolve_dir(cwd) {
        Ok(directory) => directory,
        Err(error) if error.is_permission() => return c_string("cwd", &process.cwd).map(Some),
        Err(error) => return Err(error).context(step),
    };
    match fchdir(&directory) {
        Ok(()) => {}
        Err(Errno::ACCESS | Errno::PERM) => return c_string("cwd", &process.cwd).map(Some),
        Err(error) => return Err(error).context(step),
    }
    check_cwd()?;
    Ok(None)
}

/// A working directory outside the root (through a leaked descriptor) has no
/// absolute name (CVE-2024-21626; getcwd(2)).
fn check_cwd() -> Result<(), StepError> {
    let cwd = getcwd(Vec::new()).context(|| "check the working directory")?;
    if cwd.as_bytes().first() == Some(&b'/') {
        return Ok(());
    }
    Err(StepError::new("check the working directory", "it lies outside the container's root"))
}

/// The environment; of a name that occurs twice, the last wins.
fn environment(process: &Process, root: &Root) -> Result<Vec<CString>, StepError> {
    let mut env: Vec<CString> = Vec::with_capacity(process.env.len() + 1);
    for (index, pair) in process.env.iter().enumerate() {
        let name = pair.split_once('=').map_or(pair.as_str(), |(name, _)| name);
        let later = process.env.get(index + 1..).unwrap_or_default();
        let repeated = later
            .iter()
            .any(|other| other.split_once('=').map_or(other.as_str(), |(other, _)| other) == name);
        if !repeated {
            env.push(c_string("env", pair)?);
        }
    }
    let has_home = env
        .iter()
        .any(|pair| pair.as_bytes().strip_prefix(b"HOME=").is_some_and(|home| !home.is_empty()));
    if !has_home {
        env.retain(|pair| !pair.as_bytes().starts_with(b"HOME="));
        env.push(c_string("env", &format!("HOME={}", home(root, process.user.uid)))?);
    }
    Ok(env)
}

/// The user's home directory by the container's `/etc/passwd`, else `/`.
fn home(root: &Root, uid: u32) -> String {
    let passwd = root.read_file_capped(Path::new("/etc/passwd"), PASSWD_LIMIT);
    let passwd = passwd.unwrap_or_default();
    let text = String::from_utf8_lossy(&passwd);
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (number, home) = (fields.nth(2)?, fields.nth(2)?);
        (number.parse() == Ok(uid) && !home.is_empty()).then(|| home.to_owned())
    });
    found.unwrap_or_else(|| "/".to_owned())
}

/// Finds the program as execvp(3) would; the words of failure are those that
/// container engines map to exit codes 126 and 127.
fn find(process: &Process, env: &[CString]) -> Result<CString, StepError> {
    let Some(name) = process.args.first() else {
        return Err(StepError::new("config.json: process.args", "must not be empty"));
    };
    let step = || format!("exec: {name:?}");
    if name.is_empty() {
        return Err(StepError::new(step(), "executable file not found in $PATH"));
    }
    if name.contains('/') {
        check_executable(name).context(|| format!("{}: stat {name}", step()))?;
        return c_string("args", name);
    }
    let search = env
        .iter()
        .find_map(|pair| pair.as_bytes().strip_prefix(b"PATH="))
        .map_or(DEFAULT_PATH.into(), String::from_utf8_lossy);
    let mut denied = None;
    for dir in search.split(':') {
        let dir = if dir.is_empty() { "." } else { dir };
        let path = format!("{}/{name}", dir.trim_end_matches('/'));
        match check_executable(&path) {
            Ok(()) => return c_string("args", &path),
            Err(error @ (Errno::ACCESS | Errno::ISDIR)) => denied = Some(error),
            Err(_) => {}
        }
    }
    match denied {
        Some(Errno::ACCESS) => Err(StepError::new(step(), "permission denied")),
        _ => Err(StepError::new(step(), "executable file not found in $PATH")),
    }
}

fn check_executable(path: &str) -> Result<(), Errno> {
    let stat = statat(CWD, path, AtFlags::empty())?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(Errno::ISDIR),
        _ if stat.st_mode & 0o111 == 0 => Err(Errno::ACCESS),
        _ => accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS),
    }
}
