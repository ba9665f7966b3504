//! What can be done to an open file without waiting, and who is told of it.

bitflags::bitflags! {
    /// What poll(2) tells.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ready: u16 {
        /// `POLLIN`
        const IN = 0x1;
        /// `POLLPRI`
        const PRI = 0x2;
        /// `POLLOUT`
        const OUT = 0x4;
        /// `POLLERR`
        const ERR = 0x8;
        /// `POLLHUP`
        const HUP = 0x10;
        /// `POLLNVAL`
        const NVAL = 0x20;
        /// `POLLRDNORM`
        const RDNORM = 0x40;
        /// `POLLWRNORM`
        const WRNORM = 0x100;
        /// `POLLWRBAND`
        const WRBAND = 0x200;
        /// `POLLRDHUP`
        const RDHUP = 0x2000;
    }
}

/// Whether a file's owner may ask for signals ([`crate::signal::owner`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// He may not.
    Never,
    /// He may.
    Owner,
    /// A terminal, with the group in its foreground, which is the owner if nobody says otherwise.
    Terminal(Option<crate::task::Pid>),
}
