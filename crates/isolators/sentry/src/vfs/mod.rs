//! Files: the tree of names, what is behind them, and open descriptors.

mod arriving;
mod attributes;
mod broker;
mod change;
mod change_attributes;
mod children;
mod device;
mod devtmpfs;
pub mod directory_notice;
mod disarm;
mod entry;
mod epoll;
mod eventfd;
mod extended;
mod fifo;
mod file;
mod file_kinds;
pub mod file_use;
mod glance;
pub mod handles;
mod host;
pub mod inotify;
mod kept;
pub mod kinds;
pub mod leases;
mod listing;
pub mod locks;
mod lookup;
mod masks;
pub mod mount;
mod namespace_file;
mod node;
mod notice_file;
pub mod open;
pub mod overlay;
mod packets;
mod path_file;
mod pidfd;
mod pipe;
mod position;
mod proc;
mod promised;
pub mod queue_file;
mod ready;
mod rename;
pub mod setup;
mod signalfd;
pub mod status;
mod stream;
mod syncing;
mod sysfs;
mod table;
mod texts;
mod timerfd;
pub mod tmpfs;
pub mod tty;
mod walk;
mod weak_table;
mod write_hint;
mod writes;

use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex, Weak};

pub use attributes::{Attributes, Kind, Time};
pub use broker::{
    Broker, BrokerClient, Found, Opens, ProcessFile, StartBrokerError, StoreMaker, asked_brokers,
    pair, served_tree,
};
pub use change::Make;
pub use change_attributes::NewTime;
pub use device::{Device, OpenDevice};
pub use entry::Entry;
pub use epoll::{Epoll, EpollFile, Told, flag as epoll_flag};
pub use eventfd::EventFd;
pub use fifo::Fifos;
pub use file::{File, OpenFile};
pub use glance::Glance;
use handles::Handles;
pub use host::{HostFile, HostFs, HostNode, limit_handles};
pub use kept::{Change, Kept};
pub use listing::{Directory, Listed};
pub use mount::{MountFlags, MountTable};
pub use namespace_file::{Namespace, NamespaceFile};
pub use node::Node;
pub use notice_file::NoticeFile;
pub use overlay::OverlayNode;
pub use pidfd::PidFd;
pub use pipe::{Pipe, pipe, pipe_of};
pub use position::Position;
use proc::GROUP;
pub use proc::{ProcNode, Used, most_memory};
pub(crate) use proc::{learn_processors, load};
pub use promised::Promised;
pub use ready::{Asks, Ready};
pub use signalfd::SignalFd;
pub use stream::{HostStream, Poller};
pub use table::{FileTable, LIMIT};
pub use timerfd::TimerFd;
pub use tmpfs::TmpNode;
pub use walk::{End, Limits, Resolve, Walker, access, permit};

/// The file system of the guest.
#[derive(Debug)]
pub struct FileSystem {
    /// Its root.
    pub root: Arc<Entry>,
    /// What is mounted.
    pub mounts: Arc<MountTable>,
    /// Other namespaces of mounts.
    pub copies: Mutex<Vec<Weak<MountTable>>>,
    /// Held by who moves a name from one directory to another.
    pub moving: Mutex<()>,
    /// The process that opens.
    pub broker: BrokerClient,
    /// Waits for the host's streams.
    pub poller: Arc<Poller>,
    /// FIFOs that are open.
    pub fifos: Arc<Fifos>,
    /// Seconds that the owner of a lease has (`fs.lease-break-time`); without limit if none.
    pub lease_break: Arc<AtomicI32>,
    /// Files of which there are handles.
    pub handles: Handles,
}
