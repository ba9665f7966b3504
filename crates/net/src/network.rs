//! Setting up the network of a pod, and taking it back.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bridge::firewall::{Firewall, FirewallError, Published};
use crate::bridge::{self, BridgeError};
use crate::cni::{self, Attached, CniError};
use crate::netns::{self, NetnsError};
use crate::ports::reservation::{self, ReservationError, Reserved};
use crate::process::{self, ProcessError, Task};
use crate::request::{NetRequest, NetResult, NetworkMode};
use crate::settings::NetSettings;
use crate::state::{Attachment, HeldRecord, Hold, State, StateError, StateLock, check_id};

/// How long the work of another process on the same pod is waited for.
const BUSY_DEADLINE: Duration = Duration::from_secs(120);
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Why a pod's network could not be set up or taken back.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The records.
    #[error(transparent)]
    State(#[from] StateError),
    /// A published port.
    #[error(transparent)]
    Port(#[from] ReservationError),
    /// The built-in bridge.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// CNI.
    #[error(transparent)]
    Cni(#[from] CniError),
    /// pasta or slirp4netns.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The pod's network namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// All addresses are taken.
    #[error(
        "all addresses of {subnet} are taken by {pods} pods: remove some, or configure a larger subnet"
    )]
    NoAddress {
        /// The bridge's subnet.
        subnet: String,
        /// How many there are.
        pods: usize,
    },
    /// The wanted address is not to be had.
    #[error("the pod can't have the address {address}: {reason}")]
    Address {
        /// What was wanted.
        address: String,
        /// Why not.
        reason: String,
    },
    /// Somebody else does.
    #[error("another process works on the network of pod {pod}, for {seconds} s now; is it stuck?")]
    Busy {
        /// The pod.
        pod: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Not with this kind of network.
    #[error("a pod of the network {mode} can't have {what}")]
    Unsupported {
        /// The kind of network.
        mode: NetworkMode,
        /// What it can't have.
        what: &'static str,
    },
}

impl From<FirewallError> for NetworkError {
    fn from(error: FirewallError) -> Self {
        Self::Bridge(error.into())
    }
}

/// The networks of this machine, as one state directory knows them. Any number
/// of processes may use the same directory at once.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) settings: NetSettings,
    pub(crate) state: State,
}

/// What [`Network::collect`] did.
#[derive(Debug, Default)]
pub struct Collected {
    /// Pods whose leftovers were removed.
    pub removed: Vec<String>,
    /// Pods whose leftovers could not be removed, and why; they are tried again
    /// the next time.
    pub failed: Vec<(String, NetworkError)>,
}

impl Network {
    /// Opens the state directory, and makes it if it is missing. Nothing of the
    /// machine is changed before the first pod.
    pub fn open(settings: NetSettings) -> Result<Self, NetworkError> {
        let state = State::open(&settings.state_dir)?;
        Ok(Self { settings, state })
    }

    /// Connects a pod, whose network namespace is `netns`, and publishes its
    /// ports. `netns_path` names the same namespace for programs: they open it
    /// while this call lasts, and pasta and CNI plugins perhaps until
    /// [`Network::teardown`]. What an earlier pod of this id left is removed
    /// first. After a failure nothing is left. With [`NetworkMode::Host`] and
    /// [`NetworkMode::Container`] there is nothing to do, and no port is
    /// published.
    ///
    /// The caller keeps [`NetResult::reservations`] open as long as the pod
    /// lives, and calls [`Network::teardown`] when it is gone.
    pub fn setup(
        &self,
        pod_id: &str,
        netns: BorrowedFd<'_>,
        netns_path: &Path,
        request: &NetRequest,
    ) -> Result<NetResult, NetworkError> {
        check_id(pod_id)?;
        match &request.mode {
            NetworkMode::Host | NetworkMode::Container(_) => Ok(NetResult::default()),
            NetworkMode::None => {
                bridge::loopback_up(&mut netns::route_socket(netns)?)?;
                Ok(NetResult::default())
            }
            NetworkMode::Bridge if self.settings.rootless => {
                self.setup_process(pod_id, netns, request)
            }
            NetworkMode::Bridge => self.setup_bridge(pod_id, netns, request),
            mode @ NetworkMode::Cni(_) if self.settings.rootless => {
                let what = "no privileges: plugins need root";
                Err(NetworkError::Unsupported { mode: mode.clone(), what })
            }
            NetworkMode::Cni(name) => self.setup_cni(pod_id, name, (netns, netns_path), request),
        }
    }

    fn setup_bridge(
        &self,
        pod: &str,
        netns: BorrowedFd<'_>,
        request: &NetRequest,
    ) -> Result<NetResult, NetworkError> {
        if request.ports.iter().any(|port| port.host_ip == Some(Ipv6Addr::LOCALHOST.into())) {
            let what =
                "ports published on ::1, from where nothing can be redirected; use 127.0.0.1";
            return Err(NetworkError::Unsupported { mode: NetworkMode::Bridge, what });
        }
        let lock = self.lock_without(pod)?;
        let bridge = bridge::ensure(&self.settings, &lock)?;
        let network = &bridge.network;
        let reserved = self.reserve(&lock, request, network.ipv6.is_some())?;

        let mut leases = lock.leases(&network.subnet)?;
        let number = match request.ip {
            None => {
                leases.take(pod, network.subnet.size()).ok_or_else(|| NetworkError::NoAddress {
                    subnet: network.subnet.to_string(),
                    pods: leases.taken.len(),
                })?
            }
            Some(ip) => {
                let refuse = |reason| NetworkError::Address { address: ip.to_string(), reason };
                let number = network.subnet.number(ip);
                let outside = || refuse(format!("it is none of the subnet {}", network.subnet));
                let number = number.ok_or_else(outside)?;
                leases
                    .take_number(pod, number)
                    .map_err(|owner| refuse(format!("pod {owner} has it")))?;
                number
            }
        };
        lock.set_leases(&leases)?;
        let ipv4 = network.subnet.address(number);
        let ipv6 = network.ipv6.map(|six| six.address(number));
        let record = lock.create(
            pod,
            Attachment::Bridge {
                link: bridge::link_name(network, number),
                ipv4,
                ipv6,
                ports: reserved.ports.clone(),
            },
        )?;
        let firewall = Firewall { network, deadline: self.settings.program_deadline };
        let published = Published { ports: &reserved.ports, ipv4, ipv6 };
        let rules = firewall.publish(&published, || readable(&lock));
        let rules = rules.and_then(|()| Ok(firewall.pass_iptables()?));
        drop(lock);

        let connected = rules.and_then(|()| Ok(bridge.connect(number, request.mac, netns)?));
        match connected {
            Ok(interface) => Ok(NetResult {
                interfaces: vec![interface],
                ports: reserved.ports,
                host_gateway: Some(network.subnet.gateway().into()),
                reservations: reserved.sockets,
                ..NetResult::default()
            }),
            Err(error) => {
                // The first error is what matters; what remains is collected later.
                let _ = self.release(&record);
                Err(error)
            }
        }
    }

    /// A program carries the packets, and holds the host's ports itself.
    fn setup_process(
        &self,
        pod: &str,
        netns: BorrowedFd<'_>,
        request: &NetRequest,
    ) -> Result<NetResult, NetworkError> {
        if request.ip.is_some() || request.mac.is_some() {
            let what = "a fixed address without root";
            return Err(NetworkError::Unsupported { mode: NetworkMode::Bridge, what });
        }
        let lock = self.lock_without(pod)?;
        // This tells who has a port better than the program would, and chooses.
        let ports = self.reserve(&lock, request, true)?.ports;
        let attachment = |process| Attachment::Process { process, ports: ports.clone() };
        let mut record = lock.create(pod, attachment(None))?;
        let task = Task {
            netns,
            ports: &ports,
            dir: self.state.dir(),
            pod,
            deadline: self.settings.program_deadline,
        };
        drop(lock);
        let mut connect = || -> Result<NetResult, NetworkError> {
            let connected = process::connect(&task)?;
            let lock = self.state.lock()?;
            record.update(&lock, attachment(Some(connected.process.clone())))?;
            drop(lock);
            Ok(NetResult {
                interfaces: vec![process::interface(netns)?],
                dns: connected.dns,
                ports: ports.clone(),
                host_gateway: None,
                reservations: connected.lifeline.into_iter().collect(),
                process: Some(connected.process),
            })
        };
        connect().inspect_err(|_| {
            // The first error is what matters; what remains is collected later.
            let _ = self.release(&record);
        })
    }

    /// Plugins connect the pod.
    fn setup_cni(
        &self,
        pod: &str,
        name: &str,
        netns: (BorrowedFd<'_>, &Path),
        request: &NetRequest,
    ) -> Result<NetResult, NetworkError> {
        let mut attached = Attached::plan(&self.settings, name, netns, request)?;
        let lock = self.lock_without(pod)?;
        let reserved = self.reserve(&lock, request, true)?;
        attached.publish(&reserved.ports);
        let attachment = Attachment::Cni {
            network: attached.network().to_owned(),
            ports: reserved.ports.clone(),
        };
        let record = lock.create(pod, attachment)?;
        drop(lock);
        let connect = || -> Result<NetResult, NetworkError> {
            bridge::loopback_up(&mut netns::route_socket(netns.0)?)?;
            let path = self.state.cni_path(pod);
            let result = attached.add(&self.settings, pod, netns.0, &path)?;
            let gateways = result.interfaces.iter().flat_map(|interface| &interface.gateways);
            Ok(NetResult {
                host_gateway: gateways.copied().next(),
                interfaces: result.interfaces,
                dns: result.dns,
                ports: reserved.ports,
                reservations: reserved.sockets,
                process: None,
            })
        };
        connect().inspect_err(|_| {
            // The first error is what matters; what remains is collected later.
            let _ = self.release(&record);
        })
    }

    /// Asks the plugins of a pod's CNI network whether all is still as it was
    /// made (CHECK). Other pods need no asking.
    pub fn check_pod(&self, pod_id: &str) -> Result<(), NetworkError> {
        check_id(pod_id)?;
        match State::read::<Attached>(&self.state.cni_path(pod_id))? {
            Some(attached) => Ok(attached.check(&self.settings, pod_id)?),
            None => Ok(()),
        }
    }

    /// Asks the plugins of a CNI network, or of the first one if `name` is empty,
    /// whether they are ready for pods (STATUS, of version 1.1).
    pub fn cni_status(&self, name: &str) -> Result<(), NetworkError> {
        Ok(cni::status(&self.settings, name)?)
    }

    /// Lets plugins forget what is not any pod's (GC, of version 1.1).
    fn collect_cni(&self, network: &str) -> Result<(), NetworkError> {
        let records = self.state.lock()?.records()?;
        let theirs = |attachment: &Option<Attachment>| match attachment {
            Some(Attachment::Cni { network: used, .. }) => used == network,
            _ => false,
        };
        let pods: Vec<String> =
            records.into_iter().filter(|(_, a)| theirs(a)).map(|(pod, _)| pod).collect();
        Ok(cni::collect(&self.settings, network, &pods)?)
    }

    /// Holds the ports of a request.
    fn reserve(
        &self,
        lock: &StateLock<'_>,
        request: &NetRequest,
        ipv6: bool,
    ) -> Result<Reserved, NetworkError> {
        let owner = |wanted: &crate::ports::mapping::PortMapping| {
            let records = lock.records().ok()?;
            records.into_iter().find_map(|(pod, attachment)| {
                let attachment = attachment?;
                let theirs = attachment.ports().iter().find(|p| reservation::clash(p, wanted))?;
                Some(format!("pod {pod}, which publishes {theirs}"))
            })
        };
        Ok(reservation::reserve(&request.ports, ipv6, &owner)?)
    }

    /// Takes back all that a pod has. It is fine if it has nothing.
    pub fn teardown(&self, pod_id: &str) -> Result<(), NetworkError> {
        check_id(pod_id)?;
        self.lock_without(pod_id).map(drop)
    }

    /// The lock, when the pod of this id has nothing any more.
    fn lock_without(&self, pod: &str) -> Result<StateLock<'_>, NetworkError> {
        let end = Instant::now() + BUSY_DEADLINE;
        loop {
            let lock = self.state.lock()?;
            match lock.hold(pod)? {
                Hold::Missing => {
                    // One that died before it had a record may have an address.
                    lock.forget_traces(pod)?;
                    return Ok(lock);
                }
                Hold::Held(record) => {
                    drop(lock);
                    self.release(&record)?;
                }
                Hold::Busy if Instant::now() < end => {
                    drop(lock);
                    sleep(BUSY_PAUSE);
                }
                Hold::Busy => {
                    let seconds = BUSY_DEADLINE.as_secs();
                    return Err(NetworkError::Busy { pod: pod.to_owned(), seconds });
                }
            }
        }
    }

    /// Removes what pods left that are no longer alive. A pod that another
    /// process is just setting up or taking back is left to it. `alive` is
    /// asked without any lock that a pod's life could wait for.
    pub fn collect(&self, alive: &dyn Fn(&str) -> bool) -> Result<Collected, NetworkError> {
        let mut collected = Collected::default();
        let mut networks = BTreeSet::new();
        let known: Vec<String> = {
            let lock = self.state.lock()?;
            lock.sweep()?;
            lock.records()?.into_iter().map(|(pod, _)| pod).collect()
        };
        for pod in known {
            if alive(&pod) {
                continue;
            }
            let held = self.state.lock()?.hold(&pod)?;
            let Hold::Held(record) = held else { continue };
            if let Some(Attachment::Cni { network, .. }) = &record.attachment {
                networks.insert(network.clone());
            }
            match self.release(&record) {
                Ok(()) => collected.removed.push(pod),
                Err(error) => collected.failed.push((pod, error)),
            }
        }
        for network in networks {
            if let Err(error) = self.collect_cni(&network) {
                collected.failed.push((format!("cni:{network}"), error));
            }
        }
        self.collect_leases(alive)?;
        Ok(collected)
    }

    /// Gives back addresses of pods that died before they had a record.
    fn collect_leases(&self, alive: &dyn Fn(&str) -> bool) -> Result<(), NetworkError> {
        let orphans = |lock: &StateLock<'_>| -> Result<Vec<String>, NetworkError> {
            let Some(network) = lock.network()? else { return Ok(Vec::new()) };
            let (leases, records) = (lock.leases(&network.subnet)?, lock.records()?);
            let unknown = |pod: &String| !records.iter().any(|(known, _)| known == pod);
            Ok(leases.taken.into_values().filter(unknown).collect())
        };
        let dead = |pods: Vec<String>| pods.into_iter().filter(|pod| !alive(pod)).collect();
        let mut dead: Vec<String> = dead(orphans(&self.state.lock()?)?);
        if dead.is_empty() {
            return Ok(());
        }
        let lock = self.state.lock()?;
        let still = orphans(&lock)?;
        dead.retain(|pod| still.contains(pod));
        Ok(lock.give_back(&dead)?)
    }

    /// Takes back what the record says, and the record with it at last.
    pub(crate) fn release(&self, record: &HeldRecord) -> Result<(), NetworkError> {
        match &record.attachment {
            // What can't be read can't be taken back by name: the pair of links
            // goes with the pod's namespace, the rules when they are made anew.
            None => {}
            Some(attachment @ Attachment::Bridge { link, .. }) => {
                let lock = self.state.lock()?;
                if let Some(network) = lock.network()?
                    && let Some(published) = Published::of(attachment)
                {
                    let deadline = self.settings.program_deadline;
                    let others = || Ok(others(readable(&lock)?, attachment));
                    Firewall { network: &network, deadline }
                        .withdraw::<NetworkError>(&published, others)?;
                }
                drop(lock);
                bridge::disconnect(link)?;
            }
            Some(Attachment::Process { process, .. }) => {
                process::disconnect(self.state.dir(), &record.pod, process.as_ref());
            }
            Some(Attachment::Cni { .. }) => {
                let path = self.state.cni_path(&record.pod);
                if let Some(attached) = State::read::<Attached>(&path)? {
                    attached.remove(&self.settings, &record.pod)?;
                }
                State::remove(&path)?;
            }
        }
        Ok(self.state.lock()?.forget(record)?)
    }

    /// Removes the built-in bridge, its rules and its choice of subnet, if no
    /// pod uses it; whether it did.
    pub fn remove_bridge(&self) -> Result<bool, NetworkError> {
        let lock = self.state.lock()?;
        let on_bridge = |attachment: &Attachment| matches!(attachment, Attachment::Bridge { .. });
        if readable(&lock)?.iter().any(on_bridge) {
            return Ok(false);
        }
        bridge::remove(&self.settings, &lock)?;
        Ok(true)
    }
}

fn readable(lock: &StateLock<'_>) -> Result<Vec<Attachment>, NetworkError> {
    Ok(lock.records()?.into_iter().filter_map(|(_, attachment)| attachment).collect())
}

fn others(all: Vec<Attachment>, one: &Attachment) -> Vec<Attachment> {
    all.into_iter().filter(|other| other != one).collect()
}
