//! What the processor and the host tell programs.

/// A value of the auxiliary vector that the guest gets as it is: features of
/// the processor, which no wall hides (`AT_HWCAP` 16, `AT_HWCAP2` 26,
/// `AT_MINSIGSTKSZ` 51).
#[must_use]
pub fn auxiliary(kind: u64) -> u64 {
    // SAFETY: asks for a number.
    unsafe { libc::getauxval(kind) }
}

/// Fills `buffer` with the host's random bytes. False if it has none.
pub fn random(buffer: &mut [u8]) -> bool {
    for part in buffer.chunks_mut(256) {
        // SAFETY: the kernel writes at most the part's length.
        let got = unsafe { libc::getrandom(part.as_mut_ptr().cast(), part.len(), 0) };
        if usize::try_from(got) != Ok(part.len()) {
            return false;
        }
    }
    true
}
