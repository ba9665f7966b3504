//! What networks are made with.

use caisson_node::paths::Identity;
use rustix::fs::Access;
use rustix::io::Errno;

use super::Finding;
use crate::context::Context;
use crate::host;

pub(super) fn look(context: &Context) -> Vec<Finding> {
    match context.identity {
        Identity::System => vec![firewall()],
        Identity::User { .. } => vec![helper(), tunnel()],
    }
}

fn firewall() -> Finding {
    match host::program("nft") {
        Some(file) => Finding::ok("nft", file.display().to_string()),
        None => Finding::warning(
            "nft",
            "not found: no bridge network and no published ports",
            "apt-get install nftables, or use --network host",
        ),
    }
}

fn helper() -> Finding {
    let found = ["pasta", "slirp4netns"].into_iter().find_map(host::program);
    match found {
        Some(file) => Finding::ok("network helper", file.display().to_string()),
        None => Finding::warning(
            "network helper",
            "neither pasta nor slirp4netns: no network without root",
            "apt-get install passt (or slirp4netns), or use --network host",
        ),
    }
}

fn tunnel() -> Finding {
    const DEVICE: &str = "/dev/net/tun";
    let both = Access::READ_OK | Access::WRITE_OK;
    match rustix::fs::access(DEVICE, both) {
        Ok(()) => Finding::ok("tun device", DEVICE),
        Err(Errno::ACCESS | Errno::PERM) => Finding::warning(
            "tun device",
            "/dev/net/tun is root's alone: no network without root",
            "chmod 666 /dev/net/tun, as it is on most systems; or use --network host",
        ),
        Err(_) => Finding::warning(
            "tun device",
            "no /dev/net/tun: no network without root",
            "modprobe tun, or use --network host",
        ),
    }
}
