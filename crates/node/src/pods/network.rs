//! Connecting a pod: by CNI where that is configured, else by the built-in
//! bridge.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;

use caisson_net::{Bandwidth, NetRequest, NetResult, NetworkMode};

use super::PodError;
use super::check;
use super::request::PodRequest;
use crate::engine::Engine;

/// Annotations that limit a pod's traffic, as Kubernetes has them.
const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";

/// Connects a pod.
pub(super) fn connect(
    engine: &Engine,
    id: &str,
    request: &PodRequest,
    net: BorrowedFd<'_>,
) -> Result<NetResult, PodError> {
    let fail =
        |source| PodError::Network { what: "set up", pod: id.to_owned(), source: Box::new(source) };
    let network = engine.network().map_err(fail)?;
    let mode = match network.default_cni().map_err(fail)? {
        Some(name) => NetworkMode::Cni(name),
        None => NetworkMode::Bridge,
    };
    let cni_args = [
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", &request.namespace),
        ("K8S_POD_NAME", &request.name),
        ("K8S_POD_INFRA_CONTAINER_ID", id),
        ("K8S_POD_UID", &request.uid),
    ];
    let wanted = NetRequest {
        mode,
        ports: check::ports(request)?,
        bandwidth: bandwidth(request)?,
        cni_args: cni_args.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        ..NetRequest::default()
    };
    let path = format!("/proc/{}/fd/{}", std::process::id(), net.as_raw_fd());
    network.setup(id, net, Path::new(&path), &wanted).map_err(fail)
}

/// Takes back all that a pod has of networks.
pub(super) fn disconnect(engine: &Engine, id: &str) -> Result<(), PodError> {
    let done = engine.network().and_then(|network| network.teardown(id));
    done.map_err(|source| PodError::Network {
        what: "take back",
        pod: id.to_owned(),
        source: Box::new(source),
    })
}

fn bandwidth(request: &PodRequest) -> Result<Option<Bandwidth>, PodError> {
    let rate = |key: &str| -> Result<u64, PodError> {
        match request.annotations.get(key) {
            None => Ok(0),
            Some(text) => quantity(text).ok_or_else(|| {
                let reason = format!("{text:?} is no quantity, such as 10M");
                PodError::invalid(format!("annotations[{key}]"), reason)
            }),
        }
    };
    let (ingress, egress) = (rate(INGRESS)?, rate(EGRESS)?);
    // As much at once as others allow.
    let burst = |rate: u64| if rate == 0 { 0 } else { u64::from(i32::MAX.unsigned_abs()) };
    Ok((ingress > 0 || egress > 0).then_some(Bandwidth {
        ingress_rate: ingress,
        ingress_burst: burst(ingress),
        egress_rate: egress,
        egress_burst: burst(egress),
    }))
}

/// A whole quantity of Kubernetes: digits and a decimal or binary suffix.
fn quantity(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text.get(digits.len()..)? {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, value) in
            [("0", Some(0)), ("10M", Some(10_000_000)), ("1Ki", Some(1024)), ("", None)]
        {
            assert_eq!(quantity(text), value, "{text}");
        }
        for bad in ["M", "1.5M", "-1", "10X", "é", "99999999999999T"] {
            assert_eq!(quantity(bad), None, "{bad}");
        }
    }
}
