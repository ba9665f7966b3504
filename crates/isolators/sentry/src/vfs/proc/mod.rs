//! procfs: what programs ask most.

mod adjustment;
mod comm;
mod group;
mod kernel;
mod lease_time;
mod maps;
mod memory;
mod names;
mod opening;
mod pages;
mod privacy;
mod process;
mod processors;
mod reader;
mod resident;
mod setting;
mod slack;
mod state;
mod sys;
mod text;

use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::net::{Network, procfs};
use crate::task::namespaces::{living, network_of};
use crate::task::pid_namespace::{Pids, id_of, number_of};
use crate::task::process::Fs;
use crate::task::waiter::lock;
use crate::task::{Process, Thread};

use super::tmpfs::is_memory;
use super::{Attributes, Entry, FileTable, Kind, NamespaceFile, Node, OpenFile, Time, Walker};
use kernel::TEXTS;
use names::{NAMESPACES, NOT_OF_THREAD, OF_PROCESS, known};
use process::of_process;
pub use processors::Used;
pub(crate) use processors::{learn_processors, load};
pub use resident::most_memory;
pub(super) use text::{Names, TextFile};

/// Something in procfs.
#[derive(Clone, Debug)]
pub enum ProcNode {
    /// `/proc`, of a PID namespace
    Root(Pids),
    /// `/proc/self`
    Own(Pids),
    /// `/proc/mounts`, `/proc/net`: leads to the process's own
    OfOwn(&'static str),
    /// `/proc/<pid>`, by its id; numbers in it are those of the namespace.
    Process(i32, Pids),
    /// A directory of fixed names.
    Folder(&'static [&'static str], &'static str),
    /// A text, by its path below `/proc`, and the process it is about.
    Text(&'static str, i32, Pids),
    /// `/proc/<pid>/fd`
    Descriptors(i32),
    /// `/proc/<pid>/fd/<n>`, or `ns/<kind>`: leads to the file itself; of which process.
    Descriptor(Arc<OpenFile>, i32),
    /// The same that was not followed: a name in this folder, and its permission bits. It
    /// holds nothing open, and leads nowhere any more.
    Unfollowed(Box<ProcNode>, Vec<u8>, u32),
    /// `exe`, `cwd` or `root` of a process.
    Link(&'static str, i32),
    /// `/proc/thread-self`
    OwnThread(Pids),
    /// `/proc/<pid>/task`
    Threads(i32, Pids),
    /// `/proc/<pid>/task/<tid>`, which says what the process says.
    Thread(i32, Pids),
    /// `/proc/<pid>/fdinfo`
    Infos(i32),
    /// `/proc/<pid>/fdinfo/<n>`
    Info(u32, i32),
    /// `/proc/<pid>/ns`
    Namespaces(i32),
    /// `/proc/<pid>/net`
    Net(Arc<Network>),
    /// A text in it.
    OfNet(&'static str, Arc<Network>),
    /// Below `/proc/sys`: its path, and whether it is a setting.
    Setting(String, bool),
}

/// In place of a process: a text of `/proc/sysvipc`.
const OF_IPC: i32 = -3;
/// In place of a process: a text of a cgroup.
const OF_GROUP: i32 = -4;
/// The root of a cgroup2.
pub(super) const GROUP: ProcNode = ProcNode::Folder(group::NAMES, "cgroup");

impl ProcNode {
    /// Whether it stands for what is open, which those who find it at a path's end ask.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, ProcNode::Descriptor(..))
    }

    /// Whether it stands for what is open and has no place.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        matches!(self, ProcNode::Descriptor(file, _) if file.entry.is_none())
    }

    /// What is found in this folder in place of a link to what is open that is not followed:
    /// who holds it holds no file, and so none that holds another.
    #[must_use]
    pub fn unfollowed(&self, link: &ProcNode, name: &[u8]) -> Option<ProcNode> {
        let of = || Box::new(self.clone());
        let unfollowed = || ProcNode::Unfollowed(of(), name.to_vec(), link.permissions());
        link.is_open().then(unfollowed)
    }

    /// Whether it leads somewhere that its text does not say.
    #[must_use]
    pub fn is_magic(&self) -> bool {
        matches!(self, ProcNode::Descriptor(..) | ProcNode::Link(..))
    }

    /// The place itself that it leads to, whatever is at its path by now; `None` if it is
    /// known by its path alone.
    ///
    /// # Errors
    /// `ENOTDIR` if it is open and has no place; as [`ProcNode::may_follow`].
    pub fn place(&self, walker: &Walker<'_>) -> Result<Option<Arc<Entry>>, Errno> {
        self.may_follow(walker)?;
        match self {
            ProcNode::Descriptor(file, _) => file.entry.clone().map(Some).ok_or(Errno::NOTDIR),
            ProcNode::Link("exe", pid) => {
                let program = program(walker.kernel, *pid)?;
                program.entry.map(Some).ok_or(Errno::NOENT)
            }
            ProcNode::Link(which, pid) => directory(walker.kernel, which, *pid).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether it is there as long as procfs is: not a process's own.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            ProcNode::Root(_)
                | ProcNode::Folder(..)
                | ProcNode::Setting(..)
                | ProcNode::Text(_, i32::MIN..=0, _)
        )
    }

    /// The type of file.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            ProcNode::Root(_)
            | ProcNode::Process(..)
            | ProcNode::Folder(..)
            | ProcNode::Threads(..)
            | ProcNode::Thread(..)
            | ProcNode::Infos(_)
            | ProcNode::Namespaces(_)
            | ProcNode::Net(_)
            | ProcNode::Setting(_, false)
            | ProcNode::Descriptors(_) => Kind::Directory,
            ProcNode::OwnThread(_) => Kind::Link,
            ProcNode::Info(..) | ProcNode::OfNet(..) | ProcNode::Setting(..) => Kind::Regular,
            ProcNode::Own(_)
            | ProcNode::OfOwn(_)
            | ProcNode::Descriptor(..)
            | ProcNode::Unfollowed(..)
            | ProcNode::Link(..) => Kind::Link,
            ProcNode::Text(..) => Kind::Regular,
        }
    }

    /// What stat(2) tells.
    ///
    /// # Errors
    /// None at present; what is gone was not found.
    pub fn attributes(&self, kernel: &Kernel) -> Result<Attributes, Errno> {
        let kind = self.kind();
        let (permissions, pid) = (self.permissions(), self.about());
        let (user, group) = self.owner(kernel);
        let now = Time::now();
        Ok(Attributes {
            device: 20,
            inode: 1 + u64::try_from(pid).unwrap_or(0),
            mode: kind as u32 | permissions,
            links: 1,
            user,
            group,
            block_size: 1024,
            accessed: now,
            modified: now,
            changed: now,
            ..Attributes::default()
        })
    }

    /// A name in it.
    ///
    /// # Errors
    /// `ENOENT`
    pub fn lookup(&self, kernel: &Kernel, name: &[u8]) -> Result<(ProcNode, Kind), Errno> {
        let number = || std::str::from_utf8(name).ok().and_then(|n| n.parse::<i32>().ok());
        let node = match self {
            ProcNode::Root(pids) if name == b"self" => ProcNode::Own(pids.clone()),
            ProcNode::Root(_) if name == b"mounts" => ProcNode::OfOwn("mounts"),
            ProcNode::Root(_) if name == b"net" => ProcNode::OfOwn("net"),
            ProcNode::Root(_) if name == b"sysvipc" => {
                ProcNode::Folder(crate::ipc::text::NAMES, "sysvipc")
            }
            ProcNode::Root(pids) if name == b"thread-self" => ProcNode::OwnThread(pids.clone()),
            ProcNode::Root(_) if name == b"sys" => ProcNode::Setting(String::new(), false),
            ProcNode::Root(pids) => match known(TEXTS, name) {
                Some(text) => ProcNode::Text(text, 0, pids.clone()),
                None => {
                    let pid = id_of(pids, number().ok_or(Errno::NOENT)?);
                    let tree = lock(&kernel.tree);
                    match (tree.row(pid), tree.thread(pid)) {
                        (Some(_), _) => ProcNode::Process(pid, pids.clone()),
                        (None, Some(_)) => ProcNode::Thread(pid, pids.clone()),
                        (None, None) => return Err(Errno::NOENT),
                    }
                }
            },
            ProcNode::Folder(names, folder) => {
                let name = names.iter().find(|n| n.as_bytes() == name).ok_or(Errno::NOENT)?;
                let about = match *folder {
                    "cgroup" => OF_GROUP,
                    _ => OF_IPC,
                };
                ProcNode::Text(name, about, None)
            }
            ProcNode::Net(network) => {
                let found = procfs::NAMES.iter().find(|n| n.as_bytes() == name);
                ProcNode::OfNet(found.ok_or(Errno::NOENT)?, Arc::clone(network))
            }
            ProcNode::Setting(above, false) => {
                let name = std::str::from_utf8(name).map_err(|_| Errno::NOENT)?;
                let path =
                    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
                let setting = sys::kind(&path).ok_or(Errno::NOENT)?;
                ProcNode::Setting(path, setting)
            }
            ProcNode::Threads(pid, pids) => {
                let tid = id_of(pids, number().ok_or(Errno::NOENT)?);
                // The first one's is there as long as the process is.
                let own = tid == *pid && lock(&kernel.tree).row(tid).is_some();
                if own || kernel.threads_of(*pid).iter().any(|thread| thread.tid == tid) {
                    ProcNode::Thread(tid, pids.clone())
                } else {
                    return Err(Errno::NOENT);
                }
            }
            ProcNode::Infos(pid) => {
                let number = number().and_then(|n| u32::try_from(n).ok()).ok_or(Errno::NOENT)?;
                let files = files_of(kernel, *pid).ok_or(Errno::NOENT)?;
                files.get(number).map_err(|_| Errno::NOENT)?;
                ProcNode::Info(number, *pid)
            }
            ProcNode::Namespaces(pid) => {
                let found = NAMESPACES.iter().find(|(kind, _)| kind.as_bytes() == name);
                let (kind, first) = found.ok_or(Errno::NOENT)?;
                let thread = lock(&kernel.tree).thread(*pid).cloned();
                let file = match (thread, *kind) {
                    (Some(thread), _) => NamespaceFile::open(&*thread, kind, *first)?,
                    (None, "user" | "pid") => {
                        let process = process(kernel, *pid).ok_or(Errno::NOENT)?;
                        NamespaceFile::open(&*process, kind, *first)?
                    }
                    // Of who has ended.
                    _ => return Err(Errno::NOENT),
                };
                ProcNode::Descriptor(file, *pid)
            }
            ProcNode::Thread(..) if known(NOT_OF_THREAD, name).is_some() => {
                return Err(Errno::NOENT);
            }
            ProcNode::Process(pid, pids) | ProcNode::Thread(pid, pids) => {
                match known(OF_PROCESS, name).ok_or(Errno::NOENT)? {
                    "fd" => ProcNode::Descriptors(*pid),
                    "net" => {
                        let thread = lock(&kernel.tree).thread(*pid).cloned();
                        match thread.and_then(|thread| living(&*thread)) {
                            Some(own) => ProcNode::Net(own.network_in(kernel)),
                            None => ProcNode::Folder(&[], "net"),
                        }
                    }
                    link @ ("exe" | "cwd" | "root") => ProcNode::Link(link, *pid),
                    "task" => ProcNode::Threads(*pid, pids.clone()),
                    "fdinfo" => ProcNode::Infos(*pid),
                    "ns" => ProcNode::Namespaces(*pid),
                    text => ProcNode::Text(text, *pid, pids.clone()),
                }
            }
            ProcNode::Descriptors(pid) => {
                let number = number().and_then(|n| u32::try_from(n).ok()).ok_or(Errno::NOENT)?;
                let files = files_of(kernel, *pid).ok_or(Errno::NOENT)?;
                ProcNode::Descriptor(files.get(number).map_err(|_| Errno::NOENT)?, *pid)
            }
            _ => return Err(Errno::NOENT),
        };
        let kind = node.kind();
        Ok((node, kind))
    }

    /// Where a link leads, as process `own` sees it.
    ///
    /// # Errors
    /// `EINVAL` if it is none, `ENOENT` if the process is gone, `EACCES` for who may not
    /// trace it.
    pub fn target(&self, walker: &Walker<'_>) -> Result<Vec<u8>, Errno> {
        let kernel = walker.kernel;
        let unreachable = || b"(unreachable)".to_vec();
        self.may_follow(walker)?;
        match self {
            ProcNode::OfOwn(name) => Ok(format!("self/{name}").into_bytes()),
            ProcNode::OwnThread(pids) => {
                let own = own_number(pids, walker.pid)?;
                Ok(format!("{own}/task/{}", own_number(pids, walker.tid)?).into_bytes())
            }
            ProcNode::Own(pids) => Ok(own_number(pids, walker.pid)?.to_string().into_bytes()),
            ProcNode::Unfollowed(folder, name, _) => folder.lookup(kernel, name)?.0.target(walker),
            ProcNode::Descriptor(file, _) => match &file.entry {
                Some(entry) if is_memory(entry) => Ok(entry.path()),
                // Of one that is bound to a file, that.
                Some(entry) if matches!(entry.node, Node::Namespace(_)) && !entry.is_root() => {
                    Ok(entry.name())
                }
                Some(entry) => {
                    let path = entry.path_below(&walker.root).unwrap_or_else(unreachable);
                    Ok(marked(path, entry, kernel))
                }
                None => {
                    if let Some(label) = file.file.label() {
                        return Ok(label.into_bytes());
                    }
                    let inode = file.file.attributes().map_or(0, |a| a.inode);
                    let what = if file.file.socket().is_some() { "socket" } else { "pipe" };
                    Ok(format!("{what}:[{inode}]").into_bytes())
                }
            },
            ProcNode::Link("exe", pid) => {
                let program = program(kernel, *pid)?;
                let entry = program.entry.ok_or(Errno::NOENT)?;
                let path = entry.path_below(&walker.root).unwrap_or(program.path);
                Ok(marked(path, &entry, kernel))
            }
            ProcNode::Link(which, pid) => {
                let directory = directory(kernel, which, *pid)?;
                let path = directory.path_below(&walker.root).unwrap_or_else(unreachable);
                Ok(if *which == "cwd" { marked(path, &directory, kernel) } else { path })
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn names(&self, kernel: &Kernel) -> Names {
        let strings = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let mut names: Vec<String> = match self {
            ProcNode::Root(pids) => {
                let mut names: Vec<String> = strings(&TEXTS);
                names.extend(["self", "thread-self", "sys", "sysvipc"].map(str::to_owned));
                let tree = lock(&kernel.tree);
                let numbers = tree.rows().map(|(pid, _)| number_of(pids, pid));
                names.extend(numbers.filter(|number| *number > 0).map(|n| n.to_string()));
                drop(tree);
                names
            }
            ProcNode::Process(..) => strings(&OF_PROCESS),
            ProcNode::Thread(..) => {
                let own = |name: &&&str| !NOT_OF_THREAD.contains(*name);
                OF_PROCESS.iter().filter(own).map(|name| (*name).to_owned()).collect()
            }
            ProcNode::Setting(path, false) => sys::names(path),
            ProcNode::Threads(pid, pids) => {
                let own = lock(&kernel.tree).row(*pid).map(|_| *pid);
                let others = kernel.threads_of(*pid).into_iter().map(|thread| thread.tid);
                let others = others.filter(|tid| Some(*tid) != own);
                own.into_iter().chain(others).map(|tid| number_of(pids, tid).to_string()).collect()
            }
            ProcNode::Namespaces(_) => NAMESPACES.map(|(kind, _)| kind.to_owned()).to_vec(),
            ProcNode::Folder(names, _) => strings(names),
            ProcNode::Net(_) => strings(procfs::NAMES),
            ProcNode::Descriptors(pid) | ProcNode::Infos(pid) => {
                let numbers = files_of(kernel, *pid).map(|files| files.numbers());
                numbers.unwrap_or_default().iter().map(u32::to_string).collect()
            }
            _ => Vec::new(),
        };
        names.sort();
        let kinds = names.into_iter().map(|name| {
            let kind = self.lookup(kernel, name.as_bytes()).map_or(Kind::Regular, |(_, kind)| kind);
            (name.into_bytes(), kind)
        });
        Names::new(kinds.collect())
    }
}

/// The number of who reads, in a namespace.
fn own_number(pids: &Pids, id: i32) -> Result<i32, Errno> {
    Some(number_of(pids, id)).filter(|number| *number > 0).ok_or(Errno::NOENT)
}

/// What a process executes, which is not kept from being written by who looks.
fn program(kernel: &Kernel, pid: i32) -> Result<crate::mm::Program, Errno> {
    let thread = lock(&kernel.tree).thread(pid).cloned().ok_or(Errno::NOENT)?;
    let space = thread.space();
    let program = lock(&space.program);
    let (path, entry) = (program.path.clone(), program.entry.clone());
    Ok(crate::mm::Program { path, entry, executing: Vec::new() })
}

/// A path as it is told, whose file may be gone from there.
fn marked(mut path: Vec<u8>, entry: &Entry, kernel: &Kernel) -> Vec<u8> {
    const GONE: &[u8] = b" (deleted)";
    if entry.is_gone(kernel) && !path.ends_with(GONE) {
        path.extend_from_slice(GONE);
    }
    path
}

/// Who reads.
fn reader(walker: &Walker<'_>) -> Option<Arc<Thread>> {
    lock(&walker.kernel.tree).thread(walker.tid).cloned()
}

/// The network of who reads.
fn network_of_reader(walker: &Walker<'_>) -> Arc<Network> {
    let kernel = walker.kernel;
    reader(walker)
        .map_or_else(|| Arc::clone(&kernel.network), |thread| network_of(kernel, &*thread))
}

/// Where the thread of this number is; `None` of one that has ended.
fn fs_of(kernel: &Kernel, id: i32) -> Option<Arc<Fs>> {
    lock(&kernel.tree).thread(id).map(|thread| thread.fs())
}

/// `cwd` or `root` of it.
fn directory(kernel: &Kernel, which: &str, id: i32) -> Result<Arc<Entry>, Errno> {
    let fs = fs_of(kernel, id).ok_or(Errno::NOENT)?;
    let directories = lock(&fs.directories);
    Ok(Arc::clone(if which == "cwd" { &directories.current } else { &directories.root }))
}

/// What it has open.
fn files_of(kernel: &Kernel, id: i32) -> Option<Arc<FileTable>> {
    let thread = lock(&kernel.tree).thread(id).cloned();
    thread.map(|thread| Arc::clone(&lock(&thread.process.files)))
}

/// The process of this number, or that of a thread.
fn process(kernel: &Kernel, id: i32) -> Option<Arc<Process>> {
    let tree = lock(&kernel.tree);
    let own = tree.row(id).map(|row| Arc::clone(&row.process));
    own.or_else(|| tree.thread(id).map(|thread| Arc::clone(&thread.process)))
}

/// The name of a thread, or of the process if that is its number.
fn name_of(kernel: &Kernel, process: &Process, id: i32) -> Arc<Mutex<Vec<u8>>> {
    let thread = lock(&kernel.tree).thread(id).cloned();
    Arc::clone(thread.as_ref().map_or(&process.name, |thread| &thread.name))
}
