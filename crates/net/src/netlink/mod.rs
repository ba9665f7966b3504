//! As much of netlink(7) as pods' networks take: link, address and route
//! messages of rtnetlink, and elements of nftables' maps.

pub(crate) mod flows;
pub(crate) mod link;
pub(crate) mod nft;

use caisson_sys::netlink;
use rustix::io::Errno;

/// A socket into the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink(netlink::Netlink);

impl Netlink {
    /// For links, addresses and routes of the caller's network namespace.
    pub(crate) fn route() -> Result<Self, Errno> {
        netlink::Netlink::route().map(Self)
    }

    /// For the packet filter of the caller's network namespace.
    pub(crate) fn netfilter() -> Result<Self, Errno> {
        netlink::Netlink::netfilter().map(Self)
    }
}
