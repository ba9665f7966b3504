//! Masked and read-only paths.

use std::os::fd::OwnedFd;
use std::path::Path;

use caisson_rootpath::{Root, check_null, same_inode};
use caisson_runtime_spec::mount_options::{AttrChange, MountAttr, MountOptions};
use rustix::fs::{CWD, FileType, fstat};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::attach::{attach, copy_of, set_attributes};
use super::file_system;
use crate::step::{Context, StepError};

/// What masks files and directories; taken from the host before the root
/// changes, so that no image decides what `/dev/null` is (CVE-2025-31133).
#[derive(Debug)]
pub(super) struct Cover {
    null: Sheet,
    empty: Option<Sheet>,
}

/// A mount to be put over many paths.
#[derive(Debug)]
struct Sheet {
    tree: OwnedFd,
    attached: bool,
}

impl Sheet {
    fn new(tree: OwnedFd) -> Self {
        Self { tree, attached: false }
    }

    /// Puts itself, or a copy, over `target`. Before Linux 6.15 only what is
    /// attached can be copied.
    fn put(&mut self, target: &OwnedFd) -> Result<(), StepError> {
        if self.attached {
            return attach(&copy_of(&self.tree, false)?, target);
        }
        attach(&self.tree, target)?;
        self.attached = true;
        Ok(())
    }
}

impl Cover {
    /// Takes the host's `/dev/null`.
    pub(super) fn take() -> Result<Self, StepError> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let null = open_tree(CWD, "/dev/null", flags).context(|| "take the host's /dev/null")?;
        check_null(&null)
            .map_err(|fault| fault.to_string())
            .context(|| "take the host's /dev/null")?;
        Ok(Self { null: Sheet::new(null), empty: None })
    }

    /// Hides `path` if it exists: a directory under an empty one, anything
    /// else under `/dev/null`.
    pub(super) fn mask(&mut self, root: &Root, path: &str) -> Result<(), StepError> {
        let step = || format!("mask path {path:?} of linux.maskedPaths");
        let target = match root.resolve(Path::new(path)) {
            Ok(target) => target,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error).context(step),
        };
        if is_root(root, &target).context(step)? {
            return Err(StepError::new(step(), "it is the container's root"));
        }
        let stat = fstat(&target).context(step)?;
        let sheet = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.empty_directory().context(step)?
        } else {
            &mut self.null
        };
        sheet.put(&target).context(step)
    }

    fn empty_directory(&mut self) -> Result<&mut Sheet, StepError> {
        match &mut self.empty {
            Some(sheet) => Ok(sheet),
            slot => {
                let data = vec!["nr_blocks=1", "nr_inodes=1"];
                let options = MountOptions { data, ..MountOptions::default() };
                let tree = file_system::make("tmpfs", "tmpfs", &options, Some("755"), None)?;
                set_attributes(&tree, &read_only())?;
                Ok(slot.insert(Sheet::new(tree)))
            }
        }
    }
}

fn read_only<'a>() -> MountOptions<'a> {
    let attrs = AttrChange { set: MountAttr::RDONLY, clear: MountAttr::empty() };
    MountOptions { attrs, ..MountOptions::default() }
}

fn is_root(root: &Root, target: &OwnedFd) -> Result<bool, String> {
    same_inode(root, target).map_err(|fault| fault.to_string())
}

/// Makes `path` and what is mounted below it read-only, if it exists.
pub(super) fn make_read_only(root: &Root, path: &str) -> Result<(), StepError> {
    let step = || format!("make path {path:?} of linux.readonlyPaths read-only");
    let target = match root.resolve(Path::new(path)) {
        Ok(target) => target,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error).context(step),
    };
    if is_root(root, &target).context(step)? {
        // A mount on top would not be what the process has as its root.
        return set_attributes(&target, &read_only()).context(step);
    }
    let tree = copy_of(&target, true).context(step)?;
    let MountOptions { attrs, .. } = read_only();
    set_attributes(&tree, &MountOptions { recursive_attrs: attrs, ..MountOptions::default() })
        .context(step)?;
    attach(&tree, &target).context(step)
}
