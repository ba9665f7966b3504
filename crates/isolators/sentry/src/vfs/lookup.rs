//! How names are found in directories of the host's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::kernel::Kernel;
use crate::task::waiter::lock;

use super::broker::{MOST_ASKED, Opens};
use super::host::Says;
use super::{Entry, HostNode, Node};

impl Entry {
    /// Whether it has no name any more, by what its file system says.
    #[must_use]
    pub fn is_gone(&self, kernel: &Kernel) -> bool {
        let stored = matches!(self.node, Node::Host(_) | Node::Tmp(_) | Node::Overlay(_));
        stored && self.attributes(kernel).is_ok_and(|attributes| attributes.links == 0)
    }

    /// A name in a directory of the host's.
    pub(super) fn on_host(
        self: &Arc<Self>,
        kernel: &Kernel,
        directory: &Arc<HostNode>,
        name: &[u8],
        cached: Option<&Arc<Entry>>,
        opens: bool,
    ) -> Result<Arc<Entry>, Errno> {
        let broker = &kernel.files.broker;
        let mut generation = None;
        // Whether it is still the same is asked without a handle.
        let is_there = |child: &Arc<Entry>| {
            let told = broker.stat(directory.handle(broker)?, &[name.to_vec()])?;
            let same = child.on_host_node().zip(told.first().copied().flatten());
            Ok::<_, Errno>(same.is_some_and(|(node, told)| node.is(&told)))
        };
        if directory.is_shared() {
            if let Some(child) = cached.filter(|child| is_there(child).unwrap_or(false)) {
                return Ok(Arc::clone(child));
            }
        } else {
            if let Some(child) = cached {
                let outside = directory.outside();
                if child.found.load(Ordering::SeqCst) == outside {
                    if child.on_host_node().is_some_and(|node| node.is_far()) {
                        self.ask_neighbours(kernel, directory, name);
                    }
                    return Ok(Arc::clone(child));
                }
                // Once more for all that a listing has, if there is one.
                self.ask_neighbours(kernel, directory, name);
                if child.found.load(Ordering::SeqCst) == outside {
                    return Ok(Arc::clone(child));
                }
            }
            match directory.says(name) {
                Says::Absent => {
                    self.forget(name);
                    return Err(Errno::NOENT);
                }
                Says::Listed if !opens && cached.is_none() => {
                    self.ask_neighbours(kernel, directory, name);
                    let outside = directory.outside();
                    let known = lock(&self.children).get(name).map(Arc::clone);
                    let told = known.filter(|c| c.found.load(Ordering::SeqCst) == outside);
                    if let Some(child) = told {
                        return Ok(child);
                    }
                }
                Says::Listed => {}
                Says::Nothing(at) => generation = Some(at),
            }
        }
        let since = directory.now();
        let opens = match opens {
            true => Opens::Any,
            // Where others write, who opens it later opens it anew.
            false if directory.is_shared() => Opens::Nothing,
            false => Opens::File,
        };
        let found = broker.lookup(directory.handle(broker)?, name, opens);
        let found = found.inspect_err(|errno| {
            if *errno == Errno::NOENT
                && let Some(generation) = generation
            {
                directory.note_absent(name, generation);
            }
            if *errno == Errno::NOENT { self.forget(name) } else { self.doubt(name) }
        })?;
        let child = self.made(kernel, name, directory.found(found, since), since);
        if directory.was_renamed(since) {
            // It may stand for something else by now.
            self.doubt(name);
        }
        Ok(child)
    }

    fn on_host_node(&self) -> Option<&Arc<HostNode>> {
        if let Node::Host(node) = &self.node { Some(node) } else { None }
    }

    /// Asks for the attributes of a name that is in the directory's listing and of those that
    /// follow it: who looks at one after a listing mostly looks at all.
    fn ask_neighbours(self: &Arc<Self>, kernel: &Kernel, directory: &Arc<HostNode>, name: &[u8]) {
        let broker = &kernel.files.broker;
        let mut names = directory.neighbours(name, MOST_ASKED);
        if names.is_empty() {
            names.push(name.to_vec());
        }
        let since = directory.now();
        let told = directory.handle(broker).and_then(|handle| broker.stat(handle, &names));
        // What could not be told is looked up, one by one.
        for (name, told) in names.iter().zip(told.unwrap_or_default()) {
            let Some(told) = told else { continue };
            let there = lock(&self.children).get(name).map(Arc::clone);
            match there {
                Some(child) => {
                    if let Some(node) = child.on_host_node().filter(|node| node.is(&told)) {
                        node.see(&told, since);
                        child.found.store(since.outside, Ordering::SeqCst);
                    }
                }
                None => {
                    let node = directory.told(name, &told, since);
                    let kind = node.kind();
                    let child = Entry::new(self, name, Node::Host(Arc::new(node)), kind);
                    child.found.store(since.outside, Ordering::SeqCst);
                    self.keep(name, child, kernel);
                    if directory.was_renamed(since) {
                        self.doubt(name);
                        return;
                    }
                }
            }
        }
    }
}
