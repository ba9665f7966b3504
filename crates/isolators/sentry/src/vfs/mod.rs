//! Files: the tree of names, what is behind them, and open descriptors.

mod attributes;
mod broker;
mod device;
mod entry;
mod epoll;
mod eventfd;
mod file;
mod host;
pub mod open;
mod pipe;
mod proc;
mod stream;
mod table;
mod timerfd;

use std::sync::Arc;

pub use attributes::{Attributes, Kind, Time};
pub use broker::{Broker, BrokerClient, StartBrokerError, pair, served_tree};
pub use device::Device;
pub use entry::{Entry, Node, Resolve, Walker, access, permit};
pub use epoll::{Epoll, EpollFile};
pub use eventfd::EventFd;
pub use file::{Directory, File, Listed, OpenFile, Ready, status};
pub use host::{HostFile, HostNode};
pub use pipe::pipe;
pub use proc::ProcNode;
pub use stream::{HostStream, Poller};
pub use table::{FileTable, LIMIT};
pub use timerfd::TimerFd;

/// The file system of the guest.
#[derive(Debug)]
pub struct FileSystem {
    /// Its root.
    pub root: Arc<Entry>,
    /// The process that opens.
    pub broker: BrokerClient,
    /// Waits for the host's streams.
    pub poller: Arc<Poller>,
}
