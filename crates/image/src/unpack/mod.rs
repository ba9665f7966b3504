//! Unpacks a layer: a tar archive from an image, written by nobody we trust,
//! into a directory that an overlay mount can use.
//!
//! Everything happens below one directory descriptor, in a thread of its own
//! that Landlock keeps there, with few capabilities. Names are resolved by
//! `openat2` without following links; links that the archive itself has made
//! are followed as text, inside the layer's root.
//!
//! Decisions:
//! - An absolute path is taken relative to the root. `..` in a path, or in a
//!   hard link's target, is refused.
//! - An entry that comes again replaces the earlier one, as in GNU tar; a
//!   directory is kept and described anew.
//! - A path through a symbolic link of the same layer goes where the link
//!   leads inside the root, as with docker and containerd. A link in a lower
//!   layer is not looked through: a directory takes its place, as with docker
//!   and podman ([`Finished::shadowed`] tells).
//! - A whiteout speaks of lower layers only, wherever it stands in the archive.
//! - Without privilege device nodes are left out, as podman does. Device 0:0
//!   is refused: overlay file systems take it for a whiteout.
//! - Of extended attributes only `user.*` and `security.capability` are set;
//!   `*.overlay.*` would forge overlay metadata, labels are the host's.
//! - An archive may end without an end mark (the layer's digest tells whether
//!   it is complete); nothing but zeros may follow the mark.

mod complete;
mod confine;
mod deferred;
mod dirs;
mod entry;
mod error;
mod extract;
mod feed;
mod finish;
mod header;
mod limits;
mod lower;
mod metadata;
mod number;
mod path;
mod pax;
mod reader;
mod skipped;
mod sparse;
mod tree;

use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Dir as DirStream, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat};
use rustix::process::{getegid, geteuid};

pub use deferred::Deferred;
pub use entry::{Entry, EntryKind, Time, Xattr};
pub use error::{ArchiveError, ArchiveFault, EntryFault, UnpackError};
pub use finish::{Finished, finish};
pub use limits::Limits;
pub use reader::TarReader;
pub use skipped::{SkipReason, Skipped};
pub use sparse::Piece;

use crate::buffers::{BufferReader, buffers};
use confine::confine_thread;
use extract::Extractor;
use feed::feed;
use metadata::Ids;
pub(crate) use metadata::{is_opaque, wanted_xattrs};

/// Who the files belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// As the archive says. Takes root, or a user namespace that maps the ids.
    AsIs,
    /// All to the user who unpacks (rootless without subordinate ids). Files
    /// are readable and directories writable for that user whatever the
    /// archive says.
    Flatten,
}

/// How overlay mounts of the layer will read opaque directories. Whiteouts
/// are character devices 0:0 in either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhiteoutForm {
    /// `trusted.overlay.*`: mounts by root. Takes CAP_SYS_ADMIN.
    Trusted,
    /// `user.overlay.*`: mounts with `userxattr`, in a user namespace.
    User,
}

/// How to unpack.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// What an archive may ask for.
    pub limits: Limits,
    /// Who the files belong to.
    pub ownership: Ownership,
    /// How opaque directories are marked.
    pub whiteouts: WhiteoutForm,
}

impl UnpackOptions {
    /// As root of the host: owners as they are, `trusted.overlay.*`.
    #[must_use]
    pub fn privileged() -> Self {
        Self {
            limits: Limits::default(),
            ownership: Ownership::AsIs,
            whiteouts: WhiteoutForm::Trusted,
        }
    }

    /// Without privilege on the host, with the ownership that fits.
    #[must_use]
    pub fn rootless(ownership: Ownership) -> Self {
        Self { limits: Limits::default(), ownership, whiteouts: WhiteoutForm::User }
    }
}

/// A layer that is on disk, but for what [`finish`] adds.
#[derive(Debug)]
pub struct Unpacked {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of file content that were written.
    pub bytes: u64,
    /// What was left out.
    pub skipped: Skipped,
    /// Landlock was there to confine the unpacking. Where it is not, the other
    /// walls stand all the same.
    pub confined: bool,
    /// For [`finish`].
    pub deferred: Deferred,
}

/// Unpacks the uncompressed tar archive from `reader` into `target`, an empty
/// directory on a file system of the host that nobody else writes to.
///
/// `reader` is read to its end on the calling thread (so it may compute
/// digests), up to 1 MiB ahead of the unpacking on a second one. Nothing is
/// synced to disk.
///
/// # Errors
/// The archive is refused, or the disk is; `target` is then to be removed.
/// When the unpacking fails, `reader` is not read any further.
pub fn unpack_layer(
    reader: impl Read,
    target: BorrowedFd<'_>,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let (root, created) = prepare(target)?;
    let root = &root;
    std::thread::scope(|scope| {
        let (sender, archive) = buffers(feed::DEPTH);
        let unpacking = std::thread::Builder::new()
            .name("unpack".into())
            .spawn_scoped(scope, move || confined(archive, root, created, options))
            .map_err(|source| UnpackError::Confine { op: "start a thread", source })?;
        feed(&sender, reader);
        // The end of the archive.
        drop(sender);
        unpacking.join().map_err(|_| UnpackError::Died)?
    })
}

fn confined(
    archive: BufferReader,
    root: &OwnedFd,
    created: Ids,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    use std::os::fd::AsFd;
    let confined = confine_thread(root.as_fd(), &[])?;
    let mut reader = TarReader::new(archive, options.limits.clone());
    let mut extractor = Extractor::new(root.as_fd(), options, created);
    extractor.run(&mut reader)?;
    let deferred = extractor.complete()?;
    Ok(Unpacked {
        entries: extractor.entries,
        bytes: extractor.bytes,
        skipped: extractor.skipped,
        confined,
        deferred,
    })
}

/// Opens the target, which has to be empty, and makes sure that what is made
/// in it belongs to us, whatever group or setgid bit it had.
fn prepare(target: BorrowedFd<'_>) -> Result<(OwnedFd, Ids), UnpackError> {
    let fail = |op| move |source| UnpackError::Target { op, source };
    let root = dirs::open_dir(target, b"", OFlags::RDONLY).map_err(fail("open"))?;
    for item in DirStream::read_from(&root).map_err(fail("list"))? {
        let item = item.map_err(fail("list"))?;
        let name = item.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            return Err(UnpackError::TargetNotEmpty { found: path::path_of(name).to_owned() });
        }
    }
    let created = Ids { uid: geteuid().as_raw(), gid: getegid().as_raw() };
    let stat = fstat(&root).map_err(fail("examine"))?;
    if (stat.st_uid, stat.st_gid) != (created.uid, created.gid) {
        let owner = (Uid::from_raw(created.uid), Gid::from_raw(created.gid));
        fchown(&root, Some(owner.0), Some(owner.1)).map_err(fail("take over"))?;
    }
    fchmod(&root, Mode::RWXU).map_err(fail("set the mode of"))?;
    Ok((root, created))
}
