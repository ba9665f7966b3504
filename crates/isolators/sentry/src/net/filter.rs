//! Which datagrams a socket takes, and how much of them: classic BPF.

use caisson_sys::seccomp::SockFilter;
use rustix::io::Errno;

use crate::task::bpf::{self, Data};

/// A program of a socket's.
#[derive(Debug)]
pub struct Filter(Vec<SockFilter>);

impl Filter {
    /// One that was checked.
    ///
    /// # Errors
    /// `EINVAL` if it may not end, or does what there is no such thing as.
    pub fn new(steps: Vec<SockFilter>) -> Result<Self, Errno> {
        bpf::verify(&steps, Data::Packet)?;
        Ok(Filter(steps))
    }

    /// How many bytes of a datagram are to be kept, with its header in front; zero if it is to
    /// be thrown away.
    #[must_use]
    pub fn keeps(&self, header: &[u8], body: &[u8]) -> usize {
        let length = header.len() + body.len();
        let byte = |at: usize| match at.checked_sub(header.len()) {
            None => header.get(at).copied(),
            Some(at) => body.get(at).copied(),
        };
        let load = |at: u32, size: u32| {
            let bytes = at..at.checked_add(size)?;
            bytes
                .map(|at| byte(usize::try_from(at).ok()?))
                .try_fold(0, |word: u32, byte| Some(word << 8 | u32::from(byte?)))
        };
        // What asks for what is not there wants nothing of it.
        let kept = bpf::run(&self.0, u32::try_from(length).unwrap_or(u32::MAX), load).unwrap_or(0);
        usize::try_from(kept).unwrap_or(usize::MAX).min(length)
    }
}
