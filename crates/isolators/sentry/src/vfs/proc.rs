//! procfs: what programs ask most.

use std::fmt::Write as _;
use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::mm::Backing;
use crate::net::procfs;
use crate::syscalls::system;
use crate::task::Process;
use crate::task::waiter::{Waiter, lock};

use super::{Attributes, Directory, File, Kind, Listed, OpenFile, Ready, Time, Walker};

/// Something in procfs.
#[derive(Clone, Debug)]
pub enum ProcNode {
    /// `/proc`
    Root,
    /// `/proc/self`
    Own,
    /// `/proc/mounts`: leads to the process's own
    Mounts,
    /// `/proc/<pid>`
    Process(i32),
    /// A directory of fixed names.
    Folder(&'static [&'static str], &'static str),
    /// A text, by its path below `/proc`, and the process it is about.
    Text(&'static str, i32),
    /// `/proc/<pid>/fd`
    Descriptors(i32),
    /// `/proc/<pid>/fd/<n>`: leads to the file itself.
    Descriptor(Arc<OpenFile>),
    /// `exe`, `cwd` or `root` of a process.
    Link(&'static str, i32),
}

const TEXTS: [&str; 12] = [
    "cpuinfo",
    "filesystems",
    "loadavg",
    "meminfo",
    "mounts",
    "net",
    "stat",
    "uptime",
    "version",
    "sys",
    "cmdline",
    "swaps",
];
const OF_PROCESS: [&str; 14] = [
    "cmdline",
    "comm",
    "cwd",
    "exe",
    "fd",
    "maps",
    "mountinfo",
    "mounts",
    "net",
    "root",
    "stat",
    "statm",
    "status",
    "task",
];
/// In place of a process: a text of `/proc/net`.
const OF_NET: i32 = -2;
const NET: ProcNode = ProcNode::Folder(procfs::NAMES, "net");
const SYS: &[&str] = &["kernel"];
const SYS_KERNEL: &[&str] = &["hostname", "osrelease", "ostype", "pid_max", "version"];

fn known<const N: usize>(names: [&'static str; N], name: &[u8]) -> Option<&'static str> {
    names.into_iter().find(|n| n.as_bytes() == name)
}

impl ProcNode {
    /// Whether it leads somewhere without a path.
    #[must_use]
    pub fn is_magic(&self) -> bool {
        matches!(self, ProcNode::Descriptor(_))
    }

    fn kind(&self) -> Kind {
        match self {
            ProcNode::Root
            | ProcNode::Process(_)
            | ProcNode::Folder(..)
            | ProcNode::Descriptors(_) => Kind::Directory,
            ProcNode::Own | ProcNode::Mounts | ProcNode::Descriptor(_) | ProcNode::Link(..) => {
                Kind::Link
            }
            ProcNode::Text(..) => Kind::Regular,
        }
    }

    /// What stat(2) tells.
    ///
    /// # Errors
    /// None at present; what is gone was not found.
    pub fn attributes(&self, kernel: &Kernel) -> Result<Attributes, Errno> {
        let kind = self.kind();
        let permissions = match kind {
            Kind::Directory => 0o555,
            Kind::Link => 0o777,
            _ => 0o444,
        };
        let pid = match self {
            ProcNode::Process(pid) | ProcNode::Text(_, pid) | ProcNode::Descriptors(pid) => *pid,
            _ => 0,
        };
        let owner = process(kernel, pid).map(|p| {
            let who = lock(&p.credentials);
            (who.users[1], who.groups[1])
        });
        let (user, group) = owner.unwrap_or((0, 0));
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
            ProcNode::Root if name == b"self" => ProcNode::Own,
            ProcNode::Root if name == b"mounts" => ProcNode::Mounts,
            ProcNode::Root if name == b"net" => NET,
            ProcNode::Root if name == b"sys" => ProcNode::Folder(SYS, "sys"),
            ProcNode::Root => match known(TEXTS, name) {
                Some(text) => ProcNode::Text(text, 0),
                None => {
                    let pid = number().ok_or(Errno::NOENT)?;
                    lock(&kernel.tree).row(pid).ok_or(Errno::NOENT)?;
                    ProcNode::Process(pid)
                }
            },
            ProcNode::Folder(_, "sys") if name == b"kernel" => {
                ProcNode::Folder(SYS_KERNEL, "sys/kernel")
            }
            ProcNode::Folder(names, "net") => {
                let name = names.iter().find(|n| n.as_bytes() == name).ok_or(Errno::NOENT)?;
                ProcNode::Text(name, OF_NET)
            }
            ProcNode::Folder(names, "sys/kernel") => {
                let name = names.iter().find(|n| n.as_bytes() == name).ok_or(Errno::NOENT)?;
                ProcNode::Text(name, -1)
            }
            ProcNode::Process(pid) => match known(OF_PROCESS, name).ok_or(Errno::NOENT)? {
                "fd" => ProcNode::Descriptors(*pid),
                "net" => NET,
                link @ ("exe" | "cwd" | "root") => ProcNode::Link(link, *pid),
                "task" => return Err(Errno::NOENT),
                text => ProcNode::Text(text, *pid),
            },
            ProcNode::Descriptors(pid) => {
                let process = process(kernel, *pid).ok_or(Errno::NOENT)?;
                let number = number().and_then(|n| u32::try_from(n).ok()).ok_or(Errno::NOENT)?;
                let files = Arc::clone(&lock(&process.files));
                ProcNode::Descriptor(files.get(number).map_err(|_| Errno::NOENT)?)
            }
            _ => return Err(Errno::NOENT),
        };
        let kind = node.kind();
        Ok((node, kind))
    }

    /// Where a link leads, as process `own` sees it.
    ///
    /// # Errors
    /// `EINVAL` if it is none, `ENOENT` if the process is gone.
    pub fn target(&self, walker: &Walker<'_>) -> Result<Vec<u8>, Errno> {
        let kernel = walker.kernel;
        let unreachable = || b"(unreachable)".to_vec();
        match self {
            ProcNode::Mounts => Ok(b"self/mounts".to_vec()),
            ProcNode::Own => Ok(walker.pid.to_string().into_bytes()),
            ProcNode::Descriptor(file) => match &file.entry {
                Some(entry) => Ok(entry.path_below(&walker.root).unwrap_or_else(unreachable)),
                None => {
                    if let Some(label) = file.file.label() {
                        return Ok(label.into_bytes());
                    }
                    let inode = file.file.attributes().map_or(0, |a| a.inode);
                    let what = if file.file.socket().is_some() { "socket" } else { "pipe" };
                    Ok(format!("{what}:[{inode}]").into_bytes())
                }
            },
            ProcNode::Link(which, pid) => {
                let process = process(kernel, *pid).ok_or(Errno::NOENT)?;
                let directories = lock(&process.directories);
                match *which {
                    "cwd" => {
                        let path = directories.current.path_below(&walker.root);
                        Ok(path.unwrap_or_else(unreachable))
                    }
                    "root" => {
                        let path = directories.root.path_below(&walker.root);
                        Ok(path.unwrap_or_else(unreachable))
                    }
                    _ => {
                        drop(directories);
                        let threads = kernel.threads_of(*pid);
                        let thread = threads.first().ok_or(Errno::NOENT)?;
                        let space = thread.space();
                        let path = lock(&space.program).path.clone();
                        Ok(path)
                    }
                }
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// Opens it: content now, and names.
    ///
    /// # Errors
    /// `ENOENT` if the process is gone.
    pub fn open(&self, walker: &Walker<'_>) -> Result<(TextFile, Option<Names>), Errno> {
        let kernel = walker.kernel;
        let attributes = self.attributes(kernel)?;
        let names = (attributes.kind() == Kind::Directory).then(|| self.names(kernel));
        let text = match self {
            ProcNode::Text(name, -1) => of_system(kernel, name),
            ProcNode::Text(name, OF_NET) => procfs::text(&kernel.network, name).into_bytes(),
            ProcNode::Text(name, 0) => of_kernel(kernel, name),
            ProcNode::Text(name, pid) => {
                let process = process(kernel, *pid).ok_or(Errno::NOENT)?;
                of_process(kernel, &process, name)
            }
            _ => Vec::new(),
        };
        Ok((TextFile { text, attributes }, names))
    }

    /// Opens it to be written.
    ///
    /// # Errors
    /// `EACCES`: nothing can.
    pub fn open_to_write(&self, _: &Walker<'_>) -> Result<Box<dyn File>, Errno> {
        Err(Errno::ACCESS)
    }

    fn names(&self, kernel: &Kernel) -> Names {
        let strings = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let mut names: Vec<String> = match self {
            ProcNode::Root => {
                let mut names: Vec<String> = strings(&TEXTS);
                names.push("self".to_owned());
                names.extend(lock(&kernel.tree).rows().map(|(pid, _)| pid.to_string()));
                names
            }
            ProcNode::Process(_) => {
                strings(&OF_PROCESS).into_iter().filter(|n: &String| n != "task").collect()
            }
            ProcNode::Folder(names, _) => strings(names),
            ProcNode::Descriptors(pid) => {
                let numbers = process(kernel, *pid).map(|p| Arc::clone(&lock(&p.files)).numbers());
                numbers.unwrap_or_default().iter().map(u32::to_string).collect()
            }
            _ => Vec::new(),
        };
        names.sort();
        let kinds = names.into_iter().map(|name| {
            let kind = self.lookup(kernel, name.as_bytes()).map_or(Kind::Regular, |(_, kind)| kind);
            (name.into_bytes(), kind)
        });
        Names { names: kinds.collect() }
    }
}

fn process(kernel: &Kernel, pid: i32) -> Option<Arc<Process>> {
    lock(&kernel.tree).row(pid).map(|row| Arc::clone(&row.process))
}

fn of_system(kernel: &Kernel, name: &str) -> Vec<u8> {
    match name {
        "hostname" => [lock(&kernel.host_name).as_slice(), b"\n"].concat(),
        "osrelease" => format!("{}\n", system::RELEASE).into_bytes(),
        "ostype" => b"Linux\n".to_vec(),
        "pid_max" => b"32768\n".to_vec(),
        _ => format!("{}\n", system::VERSION).into_bytes(),
    }
}

fn of_kernel(kernel: &Kernel, name: &str) -> Vec<u8> {
    let up = kernel.booted.elapsed();
    let up = format!("{}.{:02}", up.as_secs(), up.subsec_millis() / 10);
    let text = match name {
        "version" => format!("Linux version {} {}\n", system::RELEASE, system::VERSION),
        "uptime" => format!("{up} 0.00\n"),
        "loadavg" => {
            let tree = lock(&kernel.tree);
            let last = tree.rows().map(|(pid, _)| pid).max().unwrap_or(1);
            format!("0.00 0.00 0.00 1/{} {last}\n", tree.rows().count())
        }
        "filesystems" => "nodev\tproc\nnodev\tdevtmpfs\n\text4\n".to_owned(),
        "meminfo" => {
            let (total, free) = system::memory();
            let (total, free) = (total / 1024, free / 1024);
            format!(
                "MemTotal:       {total:8} kB\nMemFree:        {free:8} kB\n\
                 MemAvailable:   {free:8} kB\nBuffers:               0 kB\n\
                 Cached:                0 kB\nSwapCached:            0 kB\n\
                 SwapTotal:             0 kB\nSwapFree:              0 kB\n\
                 Shmem:                 0 kB\nSReclaimable:          0 kB\n"
            )
        }
        "cpuinfo" => {
            let mut text = String::new();
            for cpu in 0..system::processors() {
                let _ = write!(text, "processor\t: {cpu}\nmodel name\t: x86-64\n\n");
            }
            text
        }
        "stat" => {
            let booted =
                Time::now().seconds - i64::try_from(kernel.booted.elapsed().as_secs()).unwrap_or(0);
            format!("cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nbtime {booted}\n")
        }
        "swaps" => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned(),
        _ => "\n".to_owned(),
    };
    text.into_bytes()
}

fn of_process(kernel: &Kernel, process: &Process, name: &str) -> Vec<u8> {
    let comm = String::from_utf8_lossy(&lock(&process.name)).into_owned();
    let row = {
        let tree = lock(&kernel.tree);
        tree.row(process.pid).map(|r| {
            let state = if r.ended.is_some() { 'Z' } else { 'S' };
            (r.parent, r.group, r.session, state, r.threads.values().next().cloned())
        })
    };
    let Some((parent, group, session, state, thread)) = row else { return Vec::new() };
    let space = thread.map(|t| t.space());
    let bytes = space.as_ref().map_or(0, |s| lock(&s.areas).total());
    let pid = process.pid;
    match name {
        "cmdline" => lock(&process.command_line).clone(),
        "comm" => format!("{comm}\n").into_bytes(),
        "mounts" => kernel.files.mounts.mounts_text(&lock(&process.directories).root),
        "mountinfo" => kernel.files.mounts.mountinfo_text(&lock(&process.directories).root),
        "statm" => format!("{} 0 0 0 0 0 0\n", bytes / 4096).into_bytes(),
        "stat" => {
            let mut text = format!("{pid} ({comm}) {state} {parent} {group} {session} 0 -1 0");
            // Of the 52 fields, those after flags: only size is known.
            for field in 10..=52 {
                let _ = match field {
                    18 => write!(text, " 20"),
                    20 => write!(text, " 1"),
                    23 => write!(text, " {bytes}"),
                    _ => write!(text, " 0"),
                };
            }
            text.push('\n');
            text.into_bytes()
        }
        "status" => {
            let who = lock(&process.credentials).clone();
            let ids = |ids: [u32; 4]| ids.map(|id| id.to_string()).join("\t");
            format!(
                "Name:\t{comm}\nState:\t{state} ({})\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{parent}\n\
                 TracerPid:\t0\nUid:\t{}\nGid:\t{}\nVmSize:\t{:8} kB\n",
                if state == 'Z' { "zombie" } else { "sleeping" },
                ids(who.users),
                ids(who.groups),
                bytes / 1024,
            )
            .into_bytes()
        }
        "maps" => space.map_or_else(Vec::new, |space| maps(&space)),
        _ => Vec::new(),
    }
}

fn maps(space: &crate::mm::Space) -> Vec<u8> {
    let mut text = Vec::new();
    for (start, area) in lock(&space.areas).iter() {
        let flag = |bit: u64, c: char| if area.protection.0 & bit != 0 { c } else { '-' };
        let (offset, (device, inode), shared, path) = match &area.backing {
            Backing::Anonymous => (0, (0, 0), 'p', area.name.as_bytes().to_vec()),
            Backing::Shared(_, offset) => (*offset, (1, 0), 's', b"/dev/zero (deleted)".to_vec()),
            Backing::File { path, id, offset, shared, .. } => {
                (*offset, *id, if *shared { 's' } else { 'p' }, path.clone())
            }
        };
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let line = format!(
            "{start:08x}-{:08x} {}{}{}{shared} {offset:08x} {major:02x}:{minor:02x} {inode} ",
            area.end,
            flag(1, 'r'),
            flag(2, 'w'),
            flag(4, 'x'),
        );
        text.extend_from_slice(format!("{line:<73}").as_bytes());
        text.extend_from_slice(&path);
        text.push(b'\n');
    }
    text
}

/// A text as it was when the file was opened.
pub struct TextFile {
    text: Vec<u8>,
    attributes: Attributes,
}

impl File for TextFile {
    fn read(&self, into: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if self.attributes.kind() == Kind::Directory {
            return Err(Errno::ISDIR);
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.text.len());
        let part = self.text.get(start..).unwrap_or_default();
        let count = part.len().min(into.len());
        for (to, from) in into.iter_mut().zip(part) {
            *to = *from;
        }
        Ok(count)
    }

    fn write(&self, _: &[u8], _: u64, _: bool) -> Result<usize, Errno> {
        Err(Errno::PERM)
    }

    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    fn watch(&self, _: &Arc<Waiter>) {}

    fn attributes(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes)
    }
}

impl TextFile {
    /// An open directory of the kernel's own: it has attributes, no text.
    #[must_use]
    pub fn directory(attributes: Attributes) -> Self {
        TextFile { text: Vec::new(), attributes }
    }
}

/// Names of a directory as they were when it was opened.
pub struct Names {
    names: Vec<(Vec<u8>, Kind)>,
}

impl Names {
    /// These names.
    #[must_use]
    pub fn new(names: Vec<(Vec<u8>, Kind)>) -> Self {
        Names { names }
    }
}

impl Directory for Names {
    fn list(&self, position: u64) -> Result<Vec<Listed>, Errno> {
        let own = [(b".".to_vec(), Kind::Directory), (b"..".to_vec(), Kind::Directory)];
        let all = own.iter().chain(&self.names).zip(1_u64..);
        let skip = usize::try_from(position).unwrap_or(usize::MAX);
        let list = all.skip(skip).map(|((name, kind), next)| Listed {
            next,
            inode: next,
            kind: kind.entry_type(),
            name: name.clone(),
        });
        Ok(list.collect())
    }
}
