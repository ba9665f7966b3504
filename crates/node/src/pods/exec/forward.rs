//! Connections to a pod's ports.

use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use caisson_shim::{FaultKind, NamespaceKind};

use crate::metadata::PodPhase;
use crate::pods::namespaces::{Wanted, in_network};
use crate::pods::table::PodEntry;
use crate::pods::{PodError, Pods};

/// A connection to a pod's port.
#[derive(Debug)]
pub enum Connection {
    /// Made in the pod's network namespace.
    Tcp(TcpStream),
    /// To the pod's sandbox, which has made it inside.
    Unix(UnixStream),
}

impl Connection {
    /// Whether its calls return at once.
    ///
    /// # Errors
    /// What the host says.
    pub fn set_nonblocking(&self, on: bool) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(on),
            Self::Unix(stream) => stream.set_nonblocking(on),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

/// How long a connection over loopback may take.
const CONNECT: Duration = Duration::from_secs(10);

impl Pods {
    /// A connection to a TCP port of the pod's own loopback, IPv4 before IPv6: a TCP socket,
    /// or the UNIX stream socket of whoever has the pod's network.
    ///
    /// # Errors
    /// [`PodError::State`] if the pod does not stand; [`PodError::Io`] if nobody
    /// listens.
    pub fn port_forward(&self, pod: &str, port: u16) -> Result<Connection, PodError> {
        let pod = self.table().pod(pod)?;
        if pod.phase() != PodPhase::Ready {
            return Err(PodError::State {
                what: "forward a port of pod",
                id: pod.id.clone(),
                state: "not ready".to_owned(),
            });
        }
        if port == 0 {
            return Err(PodError::invalid("port", "0 is no port"));
        }
        let what = format!("connect to port {port} of pod {}", pod.id);
        if pod.live().record.outcome.init
            && let Some(connection) = self.connect_inside(&pod, port, &what)?
        {
            return Ok(connection);
        }
        let connect = move || {
            let four = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpStream::connect_timeout(&four, CONNECT).or_else(|error| {
                let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
                TcpStream::connect_timeout(&six, CONNECT).map_err(|_| error)
            })
        };
        match self.pod_network(&pod)? {
            Some(net) => in_network(&what, net.as_fd(), connect),
            None => connect().map_err(|e| PodError::io(what, e)),
        }
        .map(Connection::Tcp)
    }

    /// By the pod's sandbox, if its loopback interface is inside; `None` if it is that of
    /// the network namespace.
    fn connect_inside(
        &self,
        pod: &PodEntry,
        port: u16,
        what: &str,
    ) -> Result<Option<Connection>, PodError> {
        let (ours, theirs) = UnixStream::pair().map_err(|e| PodError::io(what, e))?;
        match self.shim(&pod.id)?.container(&pod.id).connect(port, theirs.as_fd()) {
            Ok(()) => Ok(Some(Connection::Unix(ours))),
            Err(error) => match error.fault().map(|fault| fault.kind) {
                Some(FaultKind::Invalid) => Ok(None),
                _ => Err(PodError::failed(what, error)),
            },
        }
    }

    /// The pod's network namespace; `None` for the host's.
    pub(in crate::pods) fn pod_network(&self, pod: &PodEntry) -> Result<Option<OwnedFd>, PodError> {
        if !Wanted::of(&pod.request()).net {
            return Ok(None);
        }
        Ok(Some(self.shim(&pod.id)?.namespace(NamespaceKind::Net)?))
    }
}
