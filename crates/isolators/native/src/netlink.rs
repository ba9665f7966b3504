//! The kinds of rtnetlink(7) messages that moving a network device takes.

/// `RTM_NEWLINK`
pub(crate) const NEW_LINK: u16 = 16;
/// `RTM_GETLINK`
pub(crate) const GET_LINK: u16 = 18;
/// `RTM_NEWADDR`
pub(crate) const NEW_ADDRESS: u16 = 20;
/// `RTM_GETADDR`
pub(crate) const GET_ADDRESS: u16 = 22;

#[cfg(test)]
mod tests {
    use super::GET_LINK;
    use caisson_sys::netlink::{Netlink, Request, attributes};
    use rustix::io::Errno;

    #[test]
    fn the_kernel_answers() {
        let mut netlink = Netlink::route().unwrap();
        let links = netlink.list(&Request::new(GET_LINK, &[0; 16])).unwrap();
        let names: Vec<_> = links.iter().flat_map(|link| attributes(link, 16)).collect();
        assert!(names.contains(&(3, &b"lo\0"[..])));
        let missing = Request::new(GET_LINK, &[0; 16]).attribute(3, b"no-such-link\0");
        assert_eq!(netlink.get(&missing), Err(Errno::NODEV));
    }
}
