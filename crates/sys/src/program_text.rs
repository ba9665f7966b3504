//! The program's own code in memory.

use std::io;

/// Takes the program's code out of the caller's memory; what is needed again
/// comes back from the page cache, 64 KiB at a time. For processes that live
/// long and use little of a large program.
///
/// # Errors
/// As madvise(2), or if `/proc/self/maps` can't be read.
pub fn let_go() -> io::Result<()> {
    let here = let_go as fn() -> io::Result<()> as usize;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let range = maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        // Code that is never written is the file's, word for word.
        (rest.starts_with("r-xp") && (start..end).contains(&here)).then_some((start, end))
    });
    let Some((start, end)) = range else { return Ok(()) };
    let address = std::ptr::without_provenance_mut(start);
    // SAFETY: the pages are a private mapping of the program's file that was
    // never writable: the kernel reads the same bytes again when they are used.
    let result = unsafe { libc::madvise(address, end - start, libc::MADV_DONTNEED) };
    crate::check(result.into()).map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_goes_on() {
        super::let_go().unwrap();
        let sum: u64 = (0..1000_u64).map(|number| number * number).sum();
        assert_eq!(sum, 332_833_500);
    }
}
