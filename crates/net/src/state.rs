//! What is kept on disk: which pod has which address and ports.
//!
//! `R/net/lock` guards all of it. A pod's record is locked on its own for as
//! long as somebody works on it, so nobody takes a pod for dead that is just
//! being set up. Files are written to a temporary name and renamed.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ports::mapping::PortMapping;
use crate::request::NetworkProcess;
use crate::subnet::{Ipv4Subnet, Ipv6Subnet};

/// Longest id of a pod.
const MAX_ID: usize = 128;

/// Why the state directory could not be worked with.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file system call failed.
    #[error("can't {what} {path}: {cause}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Not an id.
    #[error(
        "pod id {0:?}: an id has letters, digits, `_`, `.` and `-`, and starts with neither of the last two"
    )]
    PodId(String),
    /// What should be written can't be.
    #[error("can't encode {path}: {cause}")]
    Encode {
        /// For which file.
        path: PathBuf,
        /// Why not.
        cause: serde_json::Error,
    },
}

/// The built-in network as it was first made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BridgeNetwork {
    pub(crate) bridge: String,
    pub(crate) subnet: Ipv4Subnet,
    pub(crate) ipv6: Option<Ipv6Subnet>,
}

/// Which numbers of the subnet are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leases {
    /// Where the search for a free number starts.
    pub(crate) next: u32,
    /// Number and pod.
    pub(crate) taken: BTreeMap<u32, String>,
}

impl Leases {
    /// Gives `pod` the next free number of a subnet of this size. A number that
    /// was given back is used again last.
    pub(crate) fn take(&mut self, pod: &str, size: u32) -> Option<u32> {
        let hosts = size.saturating_sub(3);
        let start = self.next.saturating_sub(2);
        let number = (0..hosts)
            .map(|nth| 2 + (start + nth) % hosts)
            .find(|number| !self.taken.contains_key(number))?;
        self.next = number + 1;
        self.taken.insert(number, pod.to_owned());
        Some(number)
    }

    /// Gives `pod` this very number if nobody has it; else who does.
    pub(crate) fn take_number(&mut self, pod: &str, number: u32) -> Result<(), String> {
        if let Some(other) = self.taken.get(&number) {
            return Err(other.clone());
        }
        self.taken.insert(number, pod.to_owned());
        Ok(())
    }
}

/// What a pod has that must be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Attachment {
    /// A place on the built-in bridge.
    Bridge {
        /// Name of the host's end of the pair.
        link: String,
        ipv4: Ipv4Addr,
        ipv6: Option<Ipv6Addr>,
        ports: Vec<PortMapping>,
    },
    /// A place in a CNI network; the details are in `cni/<pod>.json`.
    Cni { network: String, ports: Vec<PortMapping> },
    /// A program that carries its packets; none yet while it is being started.
    Process { process: Option<NetworkProcess>, ports: Vec<PortMapping> },
}

impl Attachment {
    pub(crate) fn ports(&self) -> &[PortMapping] {
        match self {
            Self::Bridge { ports, .. } | Self::Cni { ports, .. } | Self::Process { ports, .. } => {
                ports
            }
        }
    }
}

/// The state directory.
#[derive(Clone, Debug)]
pub(crate) struct State {
    dir: PathBuf,
}

/// Nobody else changes the state directory while this is there.
#[derive(Debug)]
pub(crate) struct StateLock<'a> {
    state: &'a State,
    _file: File,
}

/// A pod's record, held by this process.
#[derive(Debug)]
pub(crate) struct HeldRecord {
    path: PathBuf,
    _file: File,
    pub(crate) pod: String,
    /// Nothing if the record could not be read.
    pub(crate) attachment: Option<Attachment>,
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StateError + 'a {
    move |cause| StateError::Io { what, path: path.to_owned(), cause }
}

impl State {
    /// Makes what is missing of the directory.
    pub(crate) fn open(dir: &Path) -> Result<Self, StateError> {
        for path in [dir.to_owned(), dir.join("pods"), dir.join("cni")] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(io_error("make", &path))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until nobody else has the lock.
    pub(crate) fn lock(&self) -> Result<StateLock<'_>, StateError> {
        let path = self.dir.join("lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(io_error("open", &path))?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
            .map_err(|cause| io_error("lock", &path)(cause.into()))?;
        Ok(StateLock { state: self, _file: file })
    }

    /// Where the record of a pod's CNI attachment lies.
    pub(crate) fn cni_path(&self, pod: &str) -> PathBuf {
        self.dir.join("cni").join(format!("{pod}.json"))
    }

    /// Reads a file; nothing if it is not there or damaged.
    pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(io_error("read", path)(cause)),
        }
    }

    /// Replaces a file as a whole, and gives its descriptor.
    pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<File, StateError> {
        Self::write_with(path, value, |_| Ok(()))
    }

    fn write_with<T: Serialize>(
        path: &Path,
        value: &T,
        before: impl FnOnce(&File) -> Result<(), Errno>,
    ) -> Result<File, StateError> {
        let encode = |cause| StateError::Encode { path: path.to_owned(), cause };
        let bytes = serde_json::to_vec(value).map_err(encode)?;
        let temporary = path.with_extension("new");
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).mode(0o600).open(&temporary);
        let mut file = file.map_err(io_error("make", &temporary))?;
        before(&file).map_err(|cause| io_error("lock", &temporary)(cause.into()))?;
        file.write_all(&bytes).map_err(io_error("write", &temporary))?;
        fs::rename(&temporary, path).map_err(io_error("replace", path))?;
        Ok(file)
    }

    /// Removes a file, and what is left of a try to replace it. It is fine if
    /// there is none.
    pub(crate) fn remove(path: &Path) -> Result<(), StateError> {
        let _ = fs::remove_file(path.with_extension("new"));
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", path)(cause))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses ids that are no file names.
pub(crate) fn check_id(pod: &str) -> Result<(), StateError> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let good = !pod.is_empty()
        && pod.len() <= MAX_ID
        && pod.bytes().all(letters)
        && !pod.starts_with(['.', '-']);
    if good { Ok(()) } else { Err(StateError::PodId(pod.to_owned())) }
}

impl StateLock<'_> {
    fn network_path(&self) -> PathBuf {
        self.state.dir.join("network.json")
    }

    fn leases_path(&self) -> PathBuf {
        self.state.dir.join("leases.json")
    }

    fn pods_dir(&self) -> PathBuf {
        self.state.dir.join("pods")
    }

    fn record_path(&self, pod: &str) -> PathBuf {
        self.pods_dir().join(format!("{pod}.json"))
    }

    pub(crate) fn network(&self) -> Result<Option<BridgeNetwork>, StateError> {
        State::read(&self.network_path())
    }

    pub(crate) fn set_network(&self, network: &BridgeNetwork) -> Result<(), StateError> {
        State::write(&self.network_path(), network).map(drop)
    }

    pub(crate) fn forget_network(&self) -> Result<(), StateError> {
        State::remove(&self.network_path())?;
        State::remove(&self.leases_path())
    }

    /// The leases. If the file is damaged or lost they are found by the records.
    pub(crate) fn leases(&self, subnet: &Ipv4Subnet) -> Result<Leases, StateError> {
        if let Some(leases) = State::read(&self.leases_path())? {
            return Ok(leases);
        }
        let mut leases = Leases::default();
        for (pod, attachment) in self.records()? {
            if let Some(Attachment::Bridge { ipv4, .. }) = attachment
                && let Some(number) = subnet.number(ipv4)
            {
                leases.taken.insert(number, pod);
            }
        }
        leases.next = leases.taken.keys().next_back().map_or(2, |last| last + 1);
        Ok(leases)
    }

    pub(crate) fn set_leases(&self, leases: &Leases) -> Result<(), StateError> {
        State::write(&self.leases_path(), leases).map(drop)
    }

    /// Every pod that has a record; what it has where that can be read.
    pub(crate) fn records(&self) -> Result<Vec<(String, Option<Attachment>)>, StateError> {
        let dir = self.pods_dir();
        let mut all = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io_error("list", &dir))? {
            let name = entry.map_err(io_error("list", &dir))?.file_name();
            let Some(pod) = name.to_str().and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            all.push((pod.to_owned(), State::read(&self.record_path(pod))?));
        }
        Ok(all)
    }

    /// Writes a new record, held by this process.
    pub(crate) fn create(
        &self,
        pod: &str,
        attachment: Attachment,
    ) -> Result<HeldRecord, StateError> {
        let path = self.record_path(pod);
        let hold = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive);
        let file = State::write_with(&path, &attachment, hold)?;
        Ok(HeldRecord { path, _file: file, pod: pod.to_owned(), attachment: Some(attachment) })
    }

    /// Removes what writers left that died before they renamed it: all who write
    /// records hold the lock.
    pub(crate) fn sweep(&self) -> Result<(), StateError> {
        let dir = self.pods_dir();
        for entry in fs::read_dir(&dir).map_err(io_error("list", &dir))?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "new") {
                State::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Takes hold of a pod's record.
    pub(crate) fn hold(&self, pod: &str) -> Result<Hold, StateError> {
        let path = self.record_path(pod);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Hold::Missing),
            Err(cause) => return Err(io_error("open", &path)(cause)),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Hold::Busy),
            Err(cause) => return Err(io_error("lock", &path)(cause.into())),
        }
        // Whoever holds the record may have replaced it since it was opened.
        let opened = file.metadata().map_err(io_error("look at", &path))?.ino();
        if !fs::metadata(&path).is_ok_and(|current| current.ino() == opened) {
            return Ok(Hold::Busy);
        }
        let attachment = State::read(&path)?;
        Ok(Hold::Held(HeldRecord { path, _file: file, pod: pod.to_owned(), attachment }))
    }

    /// Takes back all numbers that these pods have.
    pub(crate) fn give_back(&self, pods: &[String]) -> Result<(), StateError> {
        let Some(mut leases) = State::read::<Leases>(&self.leases_path())? else { return Ok(()) };
        let before = leases.taken.len();
        leases.taken.retain(|_, owner| !pods.contains(owner));
        if leases.taken.len() == before { Ok(()) } else { self.set_leases(&leases) }
    }

    /// Takes back what a pod without a record may have.
    pub(crate) fn forget_traces(&self, pod: &str) -> Result<(), StateError> {
        self.give_back(&[pod.to_owned()])?;
        State::remove(&self.record_path(pod))
    }

    /// Forgets a pod and its lease, the last of what was its.
    pub(crate) fn forget(&self, record: &HeldRecord) -> Result<(), StateError> {
        self.give_back(std::slice::from_ref(&record.pod))?;
        State::remove(&record.path)
    }
}

/// Whether a record could be taken hold of.
#[derive(Debug)]
pub(crate) enum Hold {
    /// It is ours.
    Held(HeldRecord),
    /// Somebody works on the pod.
    Busy,
    /// There is none.
    Missing,
}

impl HeldRecord {
    /// Writes what the pod has now; the record stays held.
    pub(crate) fn update(
        &mut self,
        _lock: &StateLock<'_>,
        attachment: Attachment,
    ) -> Result<(), StateError> {
        let hold = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive);
        self._file = State::write_with(&self.path, &attachment, hold)?;
        self.attachment = Some(attachment);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(last: u8) -> Attachment {
        let ipv4 = Ipv4Addr::new(10, 9, 8, last);
        Attachment::Bridge { link: "x".to_owned(), ipv4, ipv6: None, ports: Vec::new() }
    }

    #[test]
    fn numbers_are_given_in_turn() {
        let mut leases = Leases::default();
        let size = 16;
        assert_eq!(leases.take("a", size), Some(2));
        assert_eq!(leases.take("b", size), Some(3));
        leases.taken.remove(&2);
        assert_eq!(leases.take("c", size), Some(4), "not the one just given back");
        for expected in 5..=14 {
            assert_eq!(leases.take("d", size), Some(expected));
        }
        assert_eq!(leases.take("e", size), Some(2), "from the start again");
        assert_eq!(leases.take("f", size), None);
        assert_eq!(leases.take_number("f", 3), Err("b".to_owned()));
        leases.taken.remove(&3);
        assert_eq!(leases.take_number("f", 3), Ok(()));
    }

    #[test]
    fn an_address_without_a_record_is_given_back_too() {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::NetSettings::new(dir.path(), false);
        let network = crate::Network::open(settings).unwrap();
        let state = State::open(dir.path()).unwrap();
        let mut leases = Leases::default();
        leases.take("died", 16);
        leases.take("other", 16);
        state.lock().unwrap().set_leases(&leases).unwrap();
        network.teardown("died").unwrap();
        let left: Option<Leases> = State::read(&dir.path().join("leases.json")).unwrap();
        assert_eq!(left.unwrap().taken.into_values().collect::<Vec<_>>(), ["other"]);
    }

    #[test]
    fn a_record_is_held_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let lock = state.lock().unwrap();
        let mut record = lock.create("a", bridge(2)).unwrap();
        assert!(matches!(lock.hold("a").unwrap(), Hold::Busy));
        record.update(&lock, bridge(3)).unwrap();
        assert!(matches!(lock.hold("a").unwrap(), Hold::Busy));
        assert!(matches!(lock.hold("b").unwrap(), Hold::Missing));
        drop(record);
        let Hold::Held(record) = lock.hold("a").unwrap() else { panic!("held by nobody") };
        assert_eq!(record.attachment, Some(bridge(3)));
        lock.forget(&record).unwrap();
        assert!(lock.records().unwrap().is_empty());
    }

    #[test]
    fn lost_leases_are_found_by_the_records() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let lock = state.lock().unwrap();
        let subnet: Ipv4Subnet = "10.9.8.0/24".parse().unwrap();
        drop(lock.create("a", bridge(7)).unwrap());
        for damage in [&b"{\"ne"[..], b""] {
            fs::write(dir.path().join("leases.json"), damage).unwrap();
            let leases = lock.leases(&subnet).unwrap();
            assert_eq!((leases.next, leases.taken.get(&7)), (8, Some(&"a".to_owned())));
        }
        fs::write(dir.path().join("pods/a.json"), b"{").unwrap();
        assert_eq!(lock.records().unwrap(), [("a".to_owned(), None)]);
        let Hold::Held(record) = lock.hold("a").unwrap() else { panic!("held by nobody") };
        assert_eq!(record.attachment, None);
        lock.forget(&record).unwrap();
        assert!(lock.records().unwrap().is_empty());
    }

    #[test]
    fn ids_are_file_names() {
        for good in ["a", "0123-abc_x.y", &"a".repeat(128)] {
            check_id(good).unwrap();
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b", "ä", &"a".repeat(129)] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }
}
