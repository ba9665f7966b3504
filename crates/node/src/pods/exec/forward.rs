//! Connections to a pod's ports.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use caisson_shim::NamespaceKind;

use crate::metadata::PodPhase;
use crate::pods::namespaces::{Wanted, in_network};
use crate::pods::{PodError, Pods};

/// How long a connection over loopback may take.
const CONNECT: Duration = Duration::from_secs(10);

impl Pods {
    /// A connection to a TCP port of the pod's own loopback, IPv4 before IPv6.
    ///
    /// # Errors
    /// [`PodError::State`] if the pod does not stand; [`PodError::Io`] if nobody
    /// listens.
    pub fn port_forward(&self, pod: &str, port: u16) -> Result<TcpStream, PodError> {
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
        let connect = move || {
            let four = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpStream::connect_timeout(&four, CONNECT).or_else(|error| {
                let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
                TcpStream::connect_timeout(&six, CONNECT).map_err(|_| error)
            })
        };
        let what = format!("connect to port {port} of pod {}", pod.id);
        match self.pod_network(&pod)? {
            Some(net) => in_network(&what, net.as_fd(), connect),
            None => connect().map_err(|e| PodError::io(what, e)),
        }
    }

    /// The pod's network namespace; `None` for the host's.
    pub(in crate::pods) fn pod_network(
        &self,
        pod: &crate::pods::table::PodEntry,
    ) -> Result<Option<OwnedFd>, PodError> {
        if !Wanted::of(&pod.request()).net {
            return Ok(None);
        }
        Ok(Some(self.shim(&pod.id)?.namespace(NamespaceKind::Net)?))
    }
}
