//! What the container's first process does between clone and exec.
//!
//! It is a copy of the runtime in new namespaces, with one thread. Until it
//! executes the user's program it is not dumpable, so that nobody inside can
//! look into it.

mod attach;
mod bind;
mod cgroup_mount;
mod console;
mod copy_up;
mod devices;
mod file_system;
mod identity;
mod limits;
mod mask;
mod mounts;
mod program;
mod rootfs;
mod time;

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use caisson_cgroup::Joiner;
use caisson_isolator::ConsoleSocket;
use caisson_runtime_spec::{Linux, Process, Spec};
use caisson_seccomp::Filter;
use caisson_sys::clone::{CloneFlags, exit_now};
use caisson_sys::unshare::{Unshare, unshare};
use rustix::fs::{Gid, Uid};
use rustix::process::{DumpableBehavior, set_dumpable_behavior, setsid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::channel::{Channel, Word};
use crate::guest::GuestKernel;
use crate::namespaces::Namespaces;
use crate::sources::Sources;
use crate::step::{Context, StepError};
use crate::{affinity, fault, hooks, successor};

pub(crate) use console::Console;
pub(crate) use limits::apply_container;
pub(crate) use program::{Finish, Program, take_session_keyring};

/// Everything the first process needs, made by the runtime before the clone.
pub(crate) struct Init<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) linux: &'a Linux,
    pub(crate) rootfs: &'a Path,
    pub(crate) bundle: &'a Path,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) sources: &'a Sources,
    pub(crate) cgroup: &'a caisson_cgroup::Cgroup,
    pub(crate) joiner: Option<&'a Joiner>,
    /// What came with the word that systemd has made the cgroup, if it is to make it.
    pub(crate) unit: Cell<Vec<OwnedFd>>,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) console: Option<&'a ConsoleSocket>,
    /// Where to wait for `start`; `None` to run on.
    pub(crate) start: Option<&'a OwnedFd>,
    /// What runs the program, and its control socket; `None`: execve(2).
    pub(crate) kernel: Option<(&'a Rc<dyn GuestKernel>, &'a OwnedFd)>,
    /// See [`Finish::owner_may_enter`].
    pub(crate) owner_may_enter: bool,
    pub(crate) preserve_fds: u32,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    /// The state document for hooks that run in the container, with this
    /// process's id still to be filled in.
    pub(crate) hook_state: &'a dyn Fn(i32) -> Vec<u8>,
    pub(crate) channel: &'a Channel,
}

impl Init<'_> {
    /// Becomes the container's first process. Never returns.
    pub(crate) fn run(&self) -> ! {
        let report = match self.prepare() {
            Ok(finish) => finish.run(),
            Err(error) => {
                self.channel.send_error(&error);
                255
            }
        };
        exit_now(report)
    }

    fn prepare(&self) -> Result<Finish, StepError> {
        self.enter_namespaces()?;
        fault::point("init-namespaces")?;
        setsid().context(|| "setsid")?;
        if self.namespaces.new.contains(CloneFlags::NEWNET) {
            caisson_sys::interface::bring_up_loopback().context(|| "bring up lo")?;
        }
        if !self.no_new_keyring {
            take_session_keyring()?;
        }
        let process = self.spec.process.as_ref();
        let console = rootfs::build(self)?;
        fault::point("init-rootfs")?;
        self.name_host()?;
        apply_container(self.linux)?;
        let Some(process) = process else {
            return Err(StepError::new("config.json: process", "it is missing"));
        };
        let program = self.prepare_program(process, console)?;
        fault::point("init-ready")?;
        Ok(program)
    }

    fn prepare_program(
        &self,
        process: &Process,
        console: Option<Console>,
    ) -> Result<Finish, StepError> {
        let root = caisson_rootpath::Root::open(Path::new("/")).context(|| "open the root")?;
        let program = Program::prepare(process, &root, self.kernel.is_some())?;
        let kernel = match self.kernel {
            Some((kernel, socket)) => {
                let socket = socket.try_clone().context(|| "keep the control socket")?;
                Some((Rc::clone(kernel), socket))
            }
            None => None,
        };
        let cgroups = match (self.kernel, self.joiner) {
            (Some((kernel, _)), Some(joiner)) if kernel.elsewhere().is_some() => joiner
                .writable()
                .map_err(|error| error.to_string())
                .context(|| "keep the container's cgroup")?,
            _ => self.unit.take(),
        };
        let start = match self.start {
            Some(socket) => Some(socket.try_clone().context(|| "keep the start socket")?),
            None => None,
        };
        let hooks = self.spec.hooks.as_ref().map(|hooks| hooks.start_container.clone());
        let hooks = hooks.unwrap_or_default();
        let state = if hooks.is_empty() { Vec::new() } else { (self.hook_state)(1) };
        Ok(Finish {
            program,
            filter: self.filter.cloned(),
            console,
            preserve_fds: self.preserve_fds,
            start,
            opened: kernel.as_ref().map(|(kernel, _)| kernel.take_opened()).unwrap_or_default(),
            kernel,
            cgroups,
            owner_may_enter: self.owner_may_enter,
            start_hooks: hooks,
            start_state: state,
            report: Channel::over(
                rustix::io::fcntl_dupfd_cloexec(self.channel, 3).context(|| "keep the channel")?,
            ),
        })
    }

    /// Joins what is joined by path and takes on root's identity where ids are
    /// mapped. With user namespaces in play a second clone does the making.
    fn enter_namespaces(&self) -> Result<(), StepError> {
        let all = self.namespaces;
        if all.has_user() && !all.new.contains(CloneFlags::NEWUSER) {
            // Root of the joined user namespace may trace what is dumpable
            // from the moment that it is in there (CVE-2016-9962).
            set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "become undumpable")?;
        }
        if all.needs_intermediate() {
            all.enter_joined(true)?;
            let step = "clone the container's first process";
            successor::go_on(self.channel, all.at_clone(), step)?;
        } else {
            all.enter_joined(false)?;
        }
        // Nor may the second one speak before the first has.
        if all.new.contains(CloneFlags::NEWUSER) || all.needs_intermediate() {
            self.channel.expect(Word::Mapped)?;
        }
        if all.new_time {
            // While the files in /proc/self are still ours: they are not once
            // the change of user has made us undumpable.
            time::new_namespace(self.linux.time_offsets.as_ref())?;
        }
        if all.has_user() {
            become_mapped_root()?;
        }
        if all.new.difference(all.at_clone()).contains(CloneFlags::NEWIPC) {
            unshare(Unshare::Ipc).context(|| "make an IPC namespace")?;
        }
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "become undumpable")
    }

    /// Joins the container's cgroup, which must happen before the cgroup
    /// namespace is made, and as late as possible otherwise: what set-up costs
    /// is not the container's.
    pub(crate) fn join_cgroup(&self) -> Result<(), StepError> {
        match self.joiner {
            Some(joiner) => joiner
                .join_self()
                .map_err(|error| error.to_string())
                .context(|| "join the container's cgroup")?,
            None => {
                self.channel.send(Word::Cgroup, b"")?;
                self.unit.replace(self.channel.expect_with(Word::Cgroup)?);
            }
        }
        affinity::reset();
        if self.namespaces.new_cgroup {
            unshare(Unshare::Cgroup).context(|| "make a cgroup namespace")?;
        }
        Ok(())
    }

    /// Lets the runtime run its hooks and move network devices.
    pub(crate) fn runtime_hooks(&self) -> Result<(), StepError> {
        let hooks = self.spec.hooks.as_ref();
        let wanted = hooks.is_some_and(|h| !h.prestart.is_empty() || !h.create_runtime.is_empty())
            || !self.linux.net_devices.is_empty();
        if wanted {
            self.channel.send(Word::Hooks, b"")?;
            self.channel.expect(Word::Hooks)?;
        }
        if let Some(hooks) = hooks.filter(|hooks| !hooks.create_container.is_empty()) {
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            hooks::run("createContainer", &hooks.create_container, &(self.hook_state)(pid))?;
        }
        Ok(())
    }

    fn name_host(&self) -> Result<(), StepError> {
        if let Some(name) = &self.spec.hostname {
            rustix::system::sethostname(name.as_bytes())
                .context(|| format!("set hostname {name:?}"))?;
        }
        if let Some(name) = &self.spec.domainname {
            rustix::system::setdomainname(name.as_bytes())
                .context(|| format!("set domainname {name:?}"))?;
        }
        Ok(())
    }
}

/// Becomes root of the user namespace that the caller is in.
pub(crate) fn become_mapped_root() -> Result<(), StepError> {
    let gid = Gid::ROOT;
    set_thread_res_gid(gid, gid, gid).context(|| "become gid 0 of the user namespace")?;
    // Refused where /proc/self/setgroups says deny; then there is nothing to drop to.
    let _ = set_thread_groups(&[]);
    let uid = Uid::ROOT;
    set_thread_res_uid(uid, uid, uid).context(|| "become uid 0 of the user namespace")
}
