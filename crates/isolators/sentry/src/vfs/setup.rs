//! The mounts that a sandbox starts with: asked for by its command line or its
//! configuration, opened on the host's side by the launcher, attached by the sentry.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use caisson_runtime_spec::{Device, Resources};
use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::filter::Filter;
use crate::task::{Credentials, OuterIds};

use super::kinds::make;
use super::masks::mask;
pub use super::mount::Options;
use super::mount::{Description, MountOptionError, OfNet, Propagation, same_mount};
use super::tmpfs::New;
use super::walk::names;
pub use super::writes::{Covered, Medium, Overlay};
use super::{
    BrokerClient, Entry, HostFs, HostNode, Kind, MountFlags, MountTable, Node, Walker, devtmpfs,
    served_tree,
};

/// A mount that is asked for.
#[derive(Clone, Debug)]
pub struct MountRequest {
    /// Type: `bind`, or a file system of ours.
    pub kind: String,
    /// For `bind`: a folder or file of the host's. Else what `/proc/mounts` is to say.
    pub source: PathBuf,
    /// Where, in the sandbox.
    pub target: Vec<u8>,
    /// How.
    pub options: Options,
}

/// The root file system that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Whether the root can't be written.
    pub read_only: bool,
    /// Whether others change the root too while the sandbox runs: names are looked up anew
    /// each time.
    pub shared: bool,
    /// Mounts, in this order.
    pub mounts: Vec<MountRequest>,
    /// Who sees what is mounted in the root, once those are there; whether it is so of all.
    pub propagation: Option<(Propagation, bool)>,
    /// Paths that are to look empty.
    pub masked: Vec<Vec<u8>>,
    /// Paths that are not to be written.
    pub read_only_paths: Vec<Vec<u8>>,
    /// Devices beside the usual ones.
    pub devices: Vec<Device>,
    /// The ids that it has.
    pub ids: OuterIds,
    /// What its cgroup is limited to.
    pub resources: Resources,
    /// Settings, by path below `/proc/sys`.
    pub settings: Vec<(String, String)>,
    /// What judges calls of its programs.
    pub filter: Option<Arc<Filter>>,
    /// Where writes to the host's folders go.
    pub overlay: Overlay,
}

/// Why a mount can't be.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Options.
    #[error(transparent)]
    Option(#[from] MountOptionError),
    /// A type that we don't have.
    #[error("mount {target}: file system type `{kind}` is not supported")]
    Kind {
        /// Where.
        target: String,
        /// The type.
        kind: String,
    },
    /// The source can't be opened.
    #[error("mount {target}: open {path} on the host: {errno}")]
    Source {
        /// Where.
        target: String,
        /// Which folder or file.
        path: PathBuf,
        /// What the host said.
        errno: Errno,
    },
    /// It can't be put there.
    #[error("mount {kind} at {target}: {errno}")]
    Target {
        /// Where.
        target: String,
        /// The type.
        kind: String,
        /// What our kernel says.
        errno: Errno,
    },
    /// Not one of those that there are.
    #[error(
        "`--overlay2 {0}` is not supported: none, or root or all, `:`, and memory, self or \
         dir=/FOLDER, and `,size=BYTES` if it is to be limited"
    )]
    Overlay(String),
    /// No file can be made for what is written to an overlay.
    #[error(
        "make a file in {whose} for what is written (--overlay2): {errno}; what stays in memory \
         (root:memory, all:memory) needs none"
    )]
    Store {
        /// The folder.
        whose: String,
        /// What the host said.
        errno: Errno,
    },
    /// Not `key=value` and so on.
    #[error("`--mount {0}`: expected type=TYPE,src=PATH,dst=PATH,options=A:B")]
    Syntax(String),
}

impl MountRequest {
    /// Of a type, without source, with options as config.json has them.
    ///
    /// # Errors
    /// [`MountOptionError`]
    pub fn new<'a>(
        kind: &str,
        source: &OsStr,
        target: &[u8],
        options: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, MountOptionError> {
        let options = Options::parse(kind, options)?;
        let kind = if options.bind.is_some() { "bind" } else { kind };
        Ok(MountRequest {
            kind: kind.to_owned(),
            source: source.into(),
            target: target.to_vec(),
            options,
        })
    }

    /// As the command line has it: `type=tmpfs,dst=/tmp,options=nosuid:size=64m`.
    ///
    /// # Errors
    /// [`MountError`]
    pub fn parse(text: &OsStr) -> Result<Self, MountError> {
        let syntax = || MountError::Syntax(text.to_string_lossy().into_owned());
        let (mut kind, mut source, mut target, mut options) = (None, None, None, String::new());
        for part in text.as_bytes().split(|b| *b == b',') {
            let at = part.iter().position(|b| *b == b'=').ok_or_else(syntax)?;
            let (key, value) = part.split_at_checked(at).ok_or_else(syntax)?;
            let value = value.get(1..).unwrap_or_default();
            let text = || String::from_utf8(value.to_vec()).map_err(|_| syntax());
            match key {
                b"type" => kind = Some(text()?),
                b"src" | b"source" => source = Some(OsStr::from_bytes(value)),
                b"dst" | b"target" | b"destination" => target = Some(value),
                b"options" => options = text()?,
                _ => return Err(syntax()),
            }
        }
        let (Some(kind), Some(target)) = (kind, target) else { return Err(syntax()) };
        if kind == "bind" && source.is_none() {
            return Err(syntax());
        }
        let source = source.unwrap_or(OsStr::new(&kind));
        let mut this = MountRequest::new(&kind, source, target, options.split(':'))?;
        this.kind = kind;
        Ok(this)
    }

    fn target_text(&self) -> String {
        String::from_utf8_lossy(&self.target).into_owned()
    }
}

impl Layout {
    /// The usual file systems: proc, sysfs, devtmpfs, tmpfs at `/dev/shm`.
    #[must_use]
    pub fn usual() -> Self {
        let mount = |kind: &str, target: &str, flags: MountFlags, mode: Option<u32>| MountRequest {
            kind: kind.to_owned(),
            source: kind.into(),
            target: target.as_bytes().to_vec(),
            options: Options { flags, mode, ..Options::default() },
        };
        let (safe, read_only) =
            (MountFlags::NO_SUID | MountFlags::NO_DEVICES, MountFlags::READ_ONLY);
        let mut terminals =
            mount("devpts", "/dev/pts", MountFlags::NO_SUID | MountFlags::NO_EXECUTE, None);
        terminals.options.others = ["gid=5", "mode=620", "ptmxmode=666"].map(str::to_owned).into();
        let mounts = vec![
            mount("proc", "/proc", safe | MountFlags::NO_EXECUTE, None),
            mount("sysfs", "/sys", safe | MountFlags::NO_EXECUTE | read_only, None),
            mount("devtmpfs", "/dev", MountFlags::NO_SUID, None),
            mount("tmpfs", "/dev/shm", safe, Some(0o1777)),
            mount("mqueue", "/dev/mqueue", safe | MountFlags::NO_EXECUTE, None),
            terminals,
        ];
        Layout { mounts, ..Layout::default() }
    }

    /// Opens the host's folders and files: one for each `bind`, in order.
    ///
    /// # Errors
    /// [`MountError::Source`]
    pub fn open_sources(&self) -> Result<Vec<OwnedFd>, MountError> {
        let binds = self.mounts.iter().filter(|mount| mount.kind == "bind");
        let open = |mount: &MountRequest| {
            let recursive = mount.options.bind.unwrap_or(true);
            served_tree(&mount.source, recursive, mount.options.flags).map_err(|errno| {
                let (target, path) = (mount.target_text(), mount.source.clone());
                MountError::Source { target, path, errno }
            })
        };
        binds.map(open).collect()
    }

    /// Makes the root of all; `broker` serves it.
    ///
    /// # Errors
    /// What the host says of the root's folder.
    pub fn root(
        &self,
        mounts: &MountTable,
        folder: OwnedFd,
        broker: &BrokerClient,
    ) -> Result<Arc<Entry>, MountError> {
        let fail =
            |errno| MountError::Target { target: "/".to_owned(), kind: "root".to_owned(), errno };
        let node = HostNode::root(folder, &HostFs::new(self.shared)).map_err(fail)?;
        let attributes = node.now_there().map_err(fail)?;
        let mut flags = MountFlags::RELATIVE_ACCESS_TIMES;
        flags.set(MountFlags::READ_ONLY, self.read_only);
        let of = Description {
            kind: "ext4".to_owned(),
            source: b"/dev/root".to_vec(),
            inside: b"/".to_vec(),
            device: attributes.device,
            flags,
            ..Description::default()
        };
        let node = Node::Host(Arc::new(node));
        let (node, of) = if self.overlay.covered == Covered::None || self.read_only {
            (node, of)
        } else {
            self.overlay.cover((node, of), self.most_memory(), broker, None)?
        };
        let kind = node.kind();
        Ok(mounts.root(of, node, kind))
    }

    /// Bytes of memory that the container may have.
    fn most_memory(&self) -> u64 {
        let (total, _) = crate::syscalls::system::memory();
        let limit = self.resources.memory.as_ref().and_then(|memory| memory.limit);
        let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
        limit.map_or(total, |limit| limit.min(total))
    }

    /// Attaches all mounts; `sources` are those of [`Self::open_sources`]. `walker` starts at
    /// the root.
    ///
    /// # Errors
    /// [`MountError`]
    pub fn attach(&self, walker: &Walker<'_>, sources: Vec<OwnedFd>) -> Result<(), MountError> {
        let mut sources = sources.into_iter();
        for request in &self.mounts {
            let fail = |errno: Errno| MountError::Target {
                target: request.target_text(),
                kind: request.kind.clone(),
                errno,
            };
            let (node, of) = if request.kind == "bind" {
                let source = sources.next().ok_or(Errno::BADF).map_err(fail)?;
                let (node, of) = bound(request, source).map_err(fail)?;
                let written = !of.flags.contains(MountFlags::READ_ONLY);
                if written && self.overlay.covered == Covered::All {
                    let files = &walker.kernel.files;
                    let (broker, root) = (&files.broker, Some(&files.root.node));
                    self.overlay.cover((node, of), self.most_memory(), broker, root)?
                } else {
                    (node, of)
                }
            } else {
                let made = make(
                    &request.kind,
                    &request.options,
                    (walker.kernel, &walker.kernel.ipc, &None),
                )
                .map_err(fail)?;
                let Some((node, device, options)) = made else {
                    let (target, kind) = (request.target_text(), request.kind.clone());
                    return Err(MountError::Kind { target, kind });
                };
                let of = Description {
                    kind: request.kind.clone(),
                    source: request.source.as_os_str().as_bytes().to_vec(),
                    inside: b"/".to_vec(),
                    options,
                    device,
                    flags: request.options.flags,
                    ..Description::default()
                };
                (node, of)
            };
            if let Some((procfs, what)) = OfNet::find(walker, &request.target) {
                procfs.mount.veils.add(what, of, node).map_err(fail)?;
                continue;
            }
            let kind = node.kind();
            let at = place(walker, &request.target, kind).map_err(fail)?;
            let root = walker.kernel.files.mounts.attach(walker.kernel, &at, (of, node), kind);
            let root = root.map_err(fail)?;
            if let Some(what) = request.options.propagation {
                walker.kernel.files.mounts.make(&[Arc::clone(&root.mount)], what);
            }
        }
        devtmpfs::add(walker, &self.devices);
        self.hide(walker)?;
        if let Some((what, all)) = self.propagation {
            let mounts = &walker.kernel.files.mounts;
            mounts.make(&mounts.mounts_from(&walker.root, all).unwrap_or_default(), what);
        }
        Ok(())
    }

    /// Covers what is to look empty, and what is not to be written.
    fn hide(&self, walker: &Walker<'_>) -> Result<(), MountError> {
        let mounts = &walker.kernel.files.mounts;
        for (path, kind) in self
            .masked
            .iter()
            .map(|path| (path, "masked"))
            .chain(self.read_only_paths.iter().map(|path| (path, "read-only")))
        {
            let fail = |errno: Errno| MountError::Target {
                target: String::from_utf8_lossy(path).into_owned(),
                kind: kind.to_owned(),
                errno,
            };
            // What is not there needs no hiding.
            if let Some((procfs, what)) = OfNet::find(walker, path) {
                // Nothing of it can be written anyway.
                if let Some(over) = what.kind().filter(|_| kind == "masked") {
                    let (node, of) = mask(over);
                    procfs.mount.veils.add(what, of, node).map_err(fail)?;
                }
                continue;
            }
            let found = walker.walk(&walker.root, path, true).ok().and_then(|found| found.entry);
            let Some(entry) = found else { continue };
            let (node, of) = if kind == "masked" {
                mask(entry.kind())
            } else {
                let of = same_mount(&entry, entry.mount.flags() | MountFlags::READ_ONLY);
                (entry.node.clone(), of)
            };
            let kind = node.kind();
            mounts.attach(walker.kernel, &entry, (of, node), kind).map_err(fail)?;
        }
        Ok(())
    }
}

fn bound(request: &MountRequest, source: OwnedFd) -> Result<(Node, Description), Errno> {
    let node = HostNode::root(source, &HostFs::new(true))?;
    let attributes = node.now_there()?;
    let of = Description {
        kind: "ext4".to_owned(),
        source: b"/dev/root".to_vec(),
        inside: request.target.clone(),
        options: String::new(),
        device: attributes.device,
        flags: request.options.flags | MountFlags::RELATIVE_ACCESS_TIMES,
        ..Description::default()
    };
    Ok((Node::Host(Arc::new(node)), of))
}

/// Finds the place of a mount; makes what is missing, without writing to the host.
///
/// # Errors
/// As looking up has them.
pub(super) fn place(walker: &Walker<'_>, path: &[u8], kind: Kind) -> Result<Arc<Entry>, Errno> {
    const MOST_LINKS: usize = 40;
    let mut at = Arc::clone(&walker.root);
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        names(path).rev().filter(|name| *name != b".").map(<[u8]>::to_vec).collect()
    };
    let (mut rest, mut links) = (parts(path), 0);
    while let Some(name) = rest.pop() {
        if name == b".." {
            at = at.parent().map_or(at, |parent| parent.top());
            continue;
        }
        let this = if rest.is_empty() { kind } else { Kind::Directory };
        let child = match at.lookup(walker.kernel, &name, false) {
            Ok(child) => child.top(),
            // Or an interface of the host's, which the broker does not serve.
            Err(Errno::NOENT | Errno::ACCESS) => missing(walker, &at, &name, this)?,
            Err(errno) => return Err(errno),
        };
        if child.kind() == Kind::Link {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP);
            }
            let target = child.target(walker)?;
            if target.starts_with(b"/") {
                at = Arc::clone(&walker.root);
            }
            rest.extend(parts(&target));
            continue;
        }
        at = child;
    }
    Ok(at)
}

fn missing(
    walker: &Walker<'_>,
    at: &Arc<Entry>,
    name: &[u8],
    kind: Kind,
) -> Result<Arc<Entry>, Errno> {
    match &at.node {
        Node::Tmp(directory) => {
            let new = New { kind, permissions: 0o755, owner: (0, 0), number: 0, text: b"" };
            directory.make(name, new)?;
            at.lookup(walker.kernel, name, false)
        }
        Node::Overlay(directory) => {
            let new = New { kind, permissions: 0o755, owner: (0, 0), number: 0, text: b"" };
            match directory.make(walker.kernel, name, new) {
                // There is such an interface below.
                Err(Errno::ACCESS) => return Ok(at.add_point(name, kind)),
                made => made?,
            };
            at.lookup(walker.kernel, name, false)
        }
        Node::Host(_) | Node::Point => Ok(at.add_point(name, kind)),
        Node::Proc(_) | Node::Namespace(_) => Err(Errno::NOENT),
    }
}

/// Root, as the sandbox is set up.
#[must_use]
pub fn root_walker(kernel: &Kernel) -> Walker<'_> {
    let credentials = Credentials::of(0, 0, Vec::new());
    let root = Arc::clone(&kernel.files.root);
    Walker { kernel, pid: 1, tid: 1, root, credentials, only_looks: false }
}
