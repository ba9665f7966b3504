//! ELF headers of 64-bit x86 programs. All numbers come from the file and are
//! checked before use.

use rustix::io::Errno;

use crate::mm::PAGE;

/// Bytes of the file header.
const HEADER: usize = 64;
/// Bytes of a program header.
const PROGRAM_HEADER: usize = 56;
/// Program headers that are read (Linux: 64 KiB).
const MOST_HEADERS: usize = 256;

/// A part of a program to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address, relative to the image's base.
    pub address: u64,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// `PROT_*`
    pub protection: u64,
}

/// What the headers of a program say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Whether it can be anywhere.
    pub relocatable: bool,
    /// What its base is a multiple of: a power of two, a page at least.
    pub alignment: u64,
    /// First instruction, relative to the base.
    pub entry: u64,
    /// Address of the program headers, relative to the base; 0 if not mapped.
    pub headers: u64,
    /// How many.
    pub header_count: u64,
    /// Parts, by address.
    pub segments: Vec<Segment>,
    /// Range in the file that names the interpreter.
    pub interpreter: Option<(u64, usize)>,
    /// Whether the stack is to be executable.
    pub executable_stack: bool,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(bytes.iter().skip(at).take(N)) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

impl Image {
    /// Reads the headers, by `read`, which fills a buffer from an offset.
    ///
    /// # Errors
    /// `ENOEXEC` for what is no such program; what `read` says.
    pub fn parse(mut read: impl FnMut(u64, &mut [u8]) -> Result<(), Errno>) -> Result<Self, Errno> {
        const EXECUTABLE: u64 = 2;
        const SHARED: u64 = 3;
        const X86_64: u64 = 62;
        const LOAD: u64 = 1;
        const INTERPRETER: u64 = 3;
        const HEADERS: u64 = 6;
        const STACK: u64 = 0x6474_e551;
        let mut header = [0; HEADER];
        read(0, &mut header).map_err(|_| Errno::NOEXEC)?;
        let kind = number::<2>(&header, 16);
        let sound = header.starts_with(b"\x7fELF\x02\x01")
            && matches!(kind, EXECUTABLE | SHARED)
            && number::<2>(&header, 18) == X86_64
            && number::<2>(&header, 54) == PROGRAM_HEADER as u64;
        let count = usize::try_from(number::<2>(&header, 56)).unwrap_or(usize::MAX);
        if !sound || count == 0 || count > MOST_HEADERS {
            return Err(Errno::NOEXEC);
        }
        let table_at = number::<8>(&header, 32);
        let mut table = vec![0; count * PROGRAM_HEADER];
        read(table_at, &mut table).map_err(|_| Errno::NOEXEC)?;
        let mut image = Image {
            relocatable: kind == SHARED,
            alignment: PAGE,
            entry: number::<8>(&header, 24),
            headers: 0,
            header_count: count as u64,
            segments: Vec::new(),
            interpreter: None,
            executable_stack: false,
        };
        for entry in table.chunks_exact(PROGRAM_HEADER) {
            let flags = number::<4>(entry, 4);
            let (offset, address) = (number::<8>(entry, 8), number::<8>(entry, 16));
            let (file_size, memory_size) = (number::<8>(entry, 32), number::<8>(entry, 40));
            match number::<4>(entry, 0) {
                LOAD => {
                    // PF_R 4, PF_W 2, PF_X 1
                    let protection = (flags & 4) >> 2 | (flags & 2) | (flags & 1) << 2;
                    let segment = Segment { address, offset, file_size, memory_size, protection };
                    image.add(segment)?;
                    let alignment = number::<8>(entry, 48);
                    if alignment.is_power_of_two() {
                        image.alignment = image.alignment.max(alignment);
                    }
                    if table_at >= offset && table_at - offset < file_size {
                        image.headers = address + (table_at - offset);
                    }
                }
                INTERPRETER => {
                    let size = usize::try_from(file_size).unwrap_or(usize::MAX);
                    if !(2..=4096).contains(&size) {
                        return Err(Errno::NOEXEC);
                    }
                    image.interpreter = Some((offset, size));
                }
                HEADERS => image.headers = address,
                STACK => image.executable_stack = flags & 1 != 0,
                _ => {}
            }
        }
        if image.segments.is_empty() { Err(Errno::NOEXEC) } else { Ok(image) }
    }

    fn add(&mut self, segment: Segment) -> Result<(), Errno> {
        let Segment { address, offset, file_size, memory_size, .. } = segment;
        let limit = 1 << 46;
        let sound = memory_size > 0
            && file_size <= memory_size
            && address < limit
            && memory_size < limit
            && offset < limit
            && address % PAGE == offset % PAGE
            && self.segments.last().is_none_or(|last| last.address + last.memory_size <= address);
        if memory_size == 0 {
            return Ok(());
        }
        if !sound {
            return Err(Errno::NOEXEC);
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Addresses it covers, in whole pages, relative to the base.
    #[must_use]
    pub fn extent(&self) -> (u64, u64) {
        let start = self.segments.first().map_or(0, |s| s.address & !(PAGE - 1));
        let end = self.segments.last().map_or(0, |s| s.address + s.memory_size);
        (start, crate::mm::round_up(end).unwrap_or(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(bytes: &[u8]) -> impl FnMut(u64, &mut [u8]) -> Result<(), Errno> {
        move |offset, into| {
            let start = usize::try_from(offset).unwrap();
            let end = start.checked_add(into.len()).ok_or(Errno::INVAL)?;
            into.copy_from_slice(bytes.get(start..end).ok_or(Errno::IO)?);
            Ok(())
        }
    }

    #[test]
    fn a_real_program_is_understood() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let image = Image::parse(read_from(&bytes)).unwrap();
        assert!(!image.relocatable);
        assert_eq!(image.interpreter, None);
        assert!(image.segments.iter().any(|s| s.protection == 5));
        let (start, end) = image.extent();
        assert!(start <= image.entry && image.entry < end);
        assert_ne!(image.headers, 0);
    }

    #[test]
    fn damaged_headers_are_refused() {
        let mut bytes = std::fs::read("/proc/self/exe").unwrap();
        bytes.truncate(8192);
        for at in 0..HEADER {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                // Refused or not, it must not panic.
                let _ = Image::parse(read_from(&damaged));
            }
        }
        assert_eq!(Image::parse(read_from(b"#!/bin/sh\n")), Err(Errno::NOEXEC));
    }
}
