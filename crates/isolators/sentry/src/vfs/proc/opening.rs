//! Opening what is in procfs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::net::procfs;
use crate::settings::is_of_network;
use crate::task::Caps;
use crate::task::namespaces::living;
use crate::task::waiter::lock;

use super::super::inotify::Inotify;
use super::super::{EventFd, File, Kind, OpenFile, Walker};
use super::adjustment::AdjustmentFile;
use super::comm::NameFile;
use super::kernel::of_kernel;
use super::lease_time::{self, LeaseTimeFile};
use super::maps::MapFile;
use super::memory::MemoryFile;
use super::pages::PagesFile;
use super::process::of_process;
use super::reader::Reader;
use super::setting::SettingFile;
use super::slack::SlackFile;
use super::text::Make;
use super::{
    Names, OF_GROUP, OF_IPC, ProcNode, TextFile, group, name_of, network_of_reader, process, sys,
};

impl ProcNode {
    /// Opens it: content, and names now.
    ///
    /// # Errors
    /// `ENOENT` if the process is gone, `EACCES` for who may not trace it.
    pub fn open(&self, walker: &Walker<'_>) -> Result<(TextFile, Option<Names>), Errno> {
        let kernel = walker.kernel;
        let attributes = self.attributes(kernel)?;
        let names = (attributes.kind() == Kind::Directory).then(|| self.names(kernel));
        let file = match self.anew(walker)? {
            Some(make) => {
                if let ProcNode::Text(_, pid @ 1.., _) = self {
                    process(kernel, *pid).ok_or(Errno::NOENT)?;
                }
                TextFile::anew(make, attributes)
            }
            None => {
                let text = self.text(kernel, &Reader::of(walker));
                TextFile::new(text.map_err(|_| Errno::NOENT)?, attributes)
            }
        };
        // Afterwards: then it is no text of a program that was executed meanwhile.
        self.may_open(walker)?;
        Ok((file, names))
    }

    /// What it says now.
    ///
    /// # Errors
    /// `ESRCH` if the process is gone.
    fn text(&self, kernel: &Kernel, reader: &Reader) -> Result<Vec<u8>, Errno> {
        Ok(match self {
            ProcNode::Setting(path, true) => sys::text(kernel, reader, path),
            ProcNode::Info(number, pid) => {
                let process = process(kernel, *pid).ok_or(Errno::SRCH)?;
                let files = Arc::clone(&lock(&process.files));
                let file = files.get(*number)?;
                info(&file)
            }
            ProcNode::OfNet(name, network) => procfs::text(network, name).into_bytes(),
            ProcNode::Text(name, OF_GROUP, _) => {
                group::text(kernel, name, |id| reader.number(id)).into_bytes()
            }
            ProcNode::Text(name, OF_IPC, _) => {
                let number = |id| reader.number(id);
                crate::ipc::text::of(kernel, &reader.ipc, name, number).into_bytes()
            }
            ProcNode::Text(name, 0, pids) => of_kernel(kernel, pids, name),
            ProcNode::Text(name, pid, pids) => {
                let process = process(kernel, *pid).ok_or(Errno::SRCH)?;
                of_process(kernel, &process, (*pid, pids), &reader.credentials, name)
            }
            _ => Vec::new(),
        })
    }

    /// What makes its text for who has opened it; `None` if it stays as it is then, as does all
    /// that not everybody may read: the process may have become another's.
    ///
    /// # Errors
    /// As [`mounts`].
    fn anew(&self, walker: &Walker<'_>) -> Result<Option<Make>, Errno> {
        if let ProcNode::Text(name @ ("mounts" | "mountinfo" | "mountstats"), id @ 1.., _) = self {
            return mounts(walker.kernel, name, *id).map(Some);
        }
        // That of the network in which it was opened.
        if let ProcNode::Setting(path, true) = self
            && is_of_network(path)
        {
            let (network, path) = (network_of_reader(walker), path.clone());
            let who = walker.credentials.clone();
            return Ok(Some(Box::new(move || Ok(sys::of_network(&network, &path, &who)))));
        }
        let open = match self {
            ProcNode::Text(..) => !self.is_private(),
            ProcNode::OfNet(..) | ProcNode::Setting(_, true) => true,
            _ => false,
        };
        let own = process(walker.kernel, walker.pid).filter(|_| open);
        let Some(kernel) = own.and_then(|own| own.kernel()) else { return Ok(None) };
        let (kernel, node, reader) = (Arc::downgrade(&kernel), self.clone(), Reader::of(walker));
        Ok(Some(Box::new(move || node.text(&*kernel.upgrade().ok_or(Errno::SRCH)?, &reader))))
    }

    /// Opens it to be written.
    ///
    /// # Errors
    /// `EACCES`: nothing else can.
    pub fn open_to_write(&self, walker: &Walker<'_>) -> Result<Box<dyn File>, Errno> {
        if let ProcNode::Text(name @ ("uid_map" | "gid_map" | "setgroups"), id, _) = self {
            let process = process(walker.kernel, *id).ok_or(Errno::NOENT)?;
            let attributes = self.attributes(walker.kernel)?;
            return Ok(Box::new(MapFile::open(walker, &process, name, attributes)?));
        }
        if let ProcNode::Text("comm", id @ 1.., _) = self {
            let process = process(walker.kernel, *id).ok_or(Errno::NOENT)?;
            let attributes = self.attributes(walker.kernel)?;
            let name = name_of(walker.kernel, &process, *id);
            return Ok(Box::new(NameFile { process, name, attributes }));
        }
        if let ProcNode::Text("oom_score_adj", id @ 1.., _) = self {
            let process = process(walker.kernel, *id).ok_or(Errno::NOENT)?;
            let attributes = self.attributes(walker.kernel)?;
            let free = walker.credentials.can(Caps::SYS_RESOURCE);
            return Ok(Box::new(AdjustmentFile { process, free, attributes }));
        }
        if let ProcNode::Setting(path, true) = self
            && is_of_network(path)
        {
            let network = network_of_reader(walker);
            network.permit_change(&walker.credentials).map_err(|_| Errno::ACCESS)?;
            let attributes = self.attributes(walker.kernel)?;
            let (path, who) = (path.clone(), walker.credentials.clone());
            return Ok(Box::new(SettingFile { network, path, who, attributes }));
        }
        if let ProcNode::Setting(path, true) = self
            && path == lease_time::PATH
        {
            // Whose it is, whatever procfs it was found in.
            let own = process(walker.kernel, walker.pid).and_then(|own| own.kernel());
            let seconds = Arc::clone(&own.ok_or(Errno::NOENT)?.files.lease_break);
            let attributes = self.attributes(walker.kernel)?;
            return Ok(Box::new(LeaseTimeFile { seconds, attributes }));
        }
        self.open_live(walker)?.ok_or(Errno::ACCESS)
    }

    /// Opens what each access asks anew who it is: a process's memory, and its slack.
    ///
    /// # Errors
    /// `EACCES` for who may not trace it, if that is asked before.
    pub fn open_live(&self, walker: &Walker<'_>) -> Result<Option<Box<dyn File>>, Errno> {
        let ProcNode::Text(name @ ("mem" | "pagemap" | "timerslack_ns"), id, _) = self else {
            return Ok(None);
        };
        let process = process(walker.kernel, *id).ok_or(Errno::NOENT)?;
        let attributes = self.attributes(walker.kernel)?;
        Ok(Some(match *name {
            "mem" => Box::new(MemoryFile::open(walker, &process, attributes)?),
            "pagemap" => Box::new(PagesFile::open(walker, &process, attributes)?),
            _ => Box::new(SlackFile { process: Arc::downgrade(&process), id: *id, attributes }),
        }))
    }
}

/// What tells of the mounts that a task has, from its root: they are told as long as that is
/// open, whatever becomes of the task.
///
/// # Errors
/// `ENOENT` if it is gone, `EINVAL` if it has ended.
fn mounts(kernel: &Kernel, name: &'static str, id: i32) -> Result<Make, Errno> {
    let thread = lock(&kernel.tree).thread(id).cloned();
    let Some(thread) = thread else {
        return Err(if process(kernel, id).is_some() { Errno::INVAL } else { Errno::NOENT });
    };
    let table = living(&*thread).ok_or(Errno::INVAL)?.mounts_in(kernel, &thread.process);
    let root = Arc::clone(&lock(&thread.fs().directories).root);
    Ok(Box::new(move || {
        Ok(match name {
            "mounts" => table.mounts_text(&root),
            "mountstats" => table.mountstats_text(&root),
            _ => table.mountinfo_text(&root),
        })
    }))
}

/// What a descriptor's file is about.
fn info(file: &OpenFile) -> Vec<u8> {
    let flags = file.flags.load(Ordering::SeqCst);
    let mount = file.entry.as_ref().map_or(0, |entry| entry.mount.number());
    let inode = file.file.attributes().map_or(0, |attributes| attributes.inode);
    let position = file.position.told();
    let own = file.file.own();
    let count = own.and_then(|own| own.downcast_ref::<EventFd>()).map(EventFd::count);
    let count = count.map(|count| format!("eventfd-count: {count:16x}\n")).unwrap_or_default();
    let watches = file.file.inotify().map(Inotify::lines).unwrap_or_default();
    let head = format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{inode}\n");
    (head + &count + &watches).into_bytes()
}
