//! Files of an archive or a layout, as blobs of the store.
//!
//! An archive may come from a pipe, with its list of images at the end. So all
//! its files go into the content store as they come, named by what they hash
//! to; only then is looked at what they are. What no image refers to is
//! collected afterwards.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::LoadError;
use crate::content::ContentError;
use crate::layers::Decoder;
use crate::manifest::LayerCompression;
use crate::store::{Lease, Store, StoreError};
use crate::unpack::{EntryKind, Limits, TarReader};
use crate::{Digest, ProgressEvent, ProgressSink};

/// Bytes that are read and written at once.
const CHUNK: usize = 256 << 10;
/// The most entries of an archive of images.
const MAX_ENTRIES: u64 = 100_000;
/// The most links that lead to one another.
const MAX_LINKS: usize = 16;

/// Where the files are.
pub(super) enum Files<'a> {
    /// In the store, from an archive: by path.
    Gathered { files: BTreeMap<String, (Digest, u64)>, links: BTreeMap<String, String> },
    /// Still in a directory; taken when they are asked for.
    Directory { root: &'a Path, store: &'a Store, lease: &'a Lease<'a> },
}

impl Files<'_> {
    /// The blob that the file `name` is; `None` if there is no such file.
    pub(super) fn blob(&self, name: &str) -> Result<Option<(Digest, u64)>, LoadError> {
        let mut name = normal(name, None);
        match self {
            Self::Gathered { files, links } => {
                for _ in 0..MAX_LINKS {
                    if let Some(found) = files.get(&name) {
                        return Ok(Some(found.clone()));
                    }
                    let Some(target) = links.get(&name) else { return Ok(None) };
                    name.clone_from(target);
                }
                Ok(None)
            }
            Self::Directory { root, store, lease } => {
                let path = root.join(&name);
                let failed = |source| LoadError::Read { path: path.clone(), source };
                let flags = rustix::fs::OFlags::RDONLY
                    | rustix::fs::OFlags::NOFOLLOW
                    | rustix::fs::OFlags::NONBLOCK
                    | rustix::fs::OFlags::CLOEXEC;
                let file = match rustix::fs::open(&path, flags, rustix::fs::Mode::empty()) {
                    Err(rustix::io::Errno::NOENT) => return Ok(None),
                    other => std::fs::File::from(other.map_err(|e| failed(e.into()))?),
                };
                if !file.metadata().map_err(failed)?.is_file() {
                    return Err(failed(io::Error::other("it is no regular file")));
                }
                take_in(store, lease, &name, file).map(Some)
            }
        }
    }
}

/// Takes every file of a tar archive, maybe compressed as a whole.
pub(super) fn gather<'a>(
    store: &Store,
    lease: &Lease<'_>,
    input: impl Read,
    total: Option<u64>,
    sink: &dyn ProgressSink,
) -> Result<Files<'a>, LoadError> {
    let failed = |source| LoadError::Read { path: PathBuf::from("the archive"), source };
    let counted = Counted { input, done: 0, told: 0, total, sink };
    let input = BufReader::with_capacity(CHUNK, counted);
    let decoder = Decoder::new(input, LayerCompression::None).map_err(failed)?;
    let limits = Limits { entries: MAX_ENTRIES, ..Limits::default() };
    let mut archive = TarReader::new(BufReader::with_capacity(CHUNK, decoder), limits);
    let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
    while let Some(entry) = archive.next_entry()? {
        let raw = String::from_utf8_lossy(&entry.path).into_owned();
        let name = normal(&raw, None);
        let target = String::from_utf8_lossy(&entry.link).into_owned();
        match entry.kind {
            EntryKind::Regular if entry.pieces.is_some() => {
                let reason = "it is a sparse file".to_owned();
                return Err(LoadError::Malformed { name, reason });
            }
            EntryKind::Regular => {
                links.remove(&name);
                let blob = take_in(store, lease, &name, &mut archive)?;
                files.insert(name, blob);
            }
            EntryKind::Symlink | EntryKind::HardLink => {
                files.remove(&name);
                let beside = (entry.kind == EntryKind::Symlink).then_some(name.as_str());
                let target = normal(&target, beside);
                links.insert(name, target);
            }
            EntryKind::Directory => {}
            EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => {
                let reason = format!("it is {}", entry.kind);
                return Err(LoadError::Malformed { name, reason });
            }
        }
    }
    Ok(Files::Gathered { files, links })
}

/// A path in an archive as plain components; `..` ends at the root. With
/// `beside`, relative to the directory of that file.
fn normal(path: &str, beside: Option<&str>) -> String {
    let mut parts: Vec<&str> = Vec::new();
    if let Some(beside) = beside.filter(|_| !path.starts_with('/')) {
        parts.extend(beside.split('/'));
        parts.pop();
    }
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

/// The digest that a path of a layout promises.
fn promised(name: &str) -> Option<Digest> {
    let mut parts = name.split('/');
    let (Some("blobs"), Some(algorithm), Some(hex), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    format!("{algorithm}:{hex}").parse().ok()
}

/// Stores what `input` gives under its digest: the one that its name promises,
/// else SHA-256.
fn take_in(
    store: &Store,
    lease: &Lease<'_>,
    name: &str,
    mut input: impl Read,
) -> Result<(Digest, u64), LoadError> {
    let failed = |source| {
        LoadError::Store(StoreError::Content(ContentError::Source {
            name: name.to_owned(),
            source,
        }))
    };
    let mut buffer = vec![0; CHUNK];
    let mut next = |buffer: &mut Vec<u8>| -> Result<usize, LoadError> {
        let mut count = 0;
        while let Some(space @ [_, ..]) = buffer.get_mut(count..) {
            match input.read(space) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(count)
    };
    if let Some(digest) = promised(name) {
        lease.hold_blobs([&digest])?;
        if let Some(size) = store.content.size(&digest)? {
            return Ok((digest, size));
        }
    }
    let mut ingest = store.content.ingest_new()?;
    loop {
        let count = next(&mut buffer)?;
        if count == 0 {
            break;
        }
        ingest.write(buffer.get(..count).unwrap_or_default())?;
    }
    match promised(name).filter(|p| p.algorithm() != crate::Algorithm::Sha256) {
        None => {
            let (digest, size) = ingest.digest();
            if let Some(expected) = promised(name).filter(|expected| *expected != digest) {
                return Err(ContentError::WrongDigest { expected, found: digest }.into());
            }
            lease.hold_blobs([&digest])?;
            ingest.commit()?;
            Ok((digest, size))
        }
        Some(digest) => {
            let size = ingest.commit_as(&digest)?;
            Ok((digest, size))
        }
    }
}

/// Tells how far an archive has been read.
struct Counted<'a, R> {
    input: R,
    done: u64,
    told: u64,
    total: Option<u64>,
    sink: &'a dyn ProgressSink,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.done += count as u64;
        if self.done - self.told >= 4 << 20 || (count == 0 && self.done > self.told) {
            self.told = self.done;
            self.sink.event(ProgressEvent::Reading { done: self.done, total: self.total });
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(normal("./a//b/../c", None), "a/c");
        assert_eq!(normal("/../../etc/passwd", None), "etc/passwd");
        assert_eq!(normal("../y/layer.tar", Some("x/layer.tar")), "y/layer.tar");
        assert_eq!(normal("/y/layer.tar", Some("x/layer.tar")), "y/layer.tar");
    }
}
