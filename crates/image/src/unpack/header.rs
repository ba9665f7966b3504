//! The 512-byte header block: V7, POSIX ustar, star and GNU forms (tar(5)).

use super::error::ArchiveFault;
use super::number;

pub(crate) const BLOCK: usize = 512;

/// One header block whose checksum is right.
pub(crate) struct Header<'a>(pub(crate) &'a [u8; BLOCK]);

/// Which writer's idea of the bytes behind the magic applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    V7,
    Ustar,
    Star,
    Gnu,
}

impl<'a> Header<'a> {
    /// Errors: the checksum is wrong, summed over signed and over unsigned
    /// bytes (old writers had both).
    pub(crate) fn new(block: &'a [u8; BLOCK]) -> Result<Self, ArchiveFault> {
        let header = Self(block);
        let stored = header.number(148, 8, "checksum")?;
        let is_stored = |at: usize| (148..156).contains(&at);
        let mut unsigned = 0_i64;
        let mut signed = 0_i64;
        for (at, byte) in block.iter().enumerate() {
            let byte = if is_stored(at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stored == unsigned || stored == signed {
            Ok(header)
        } else {
            Err(ArchiveFault::Checksum { computed: unsigned, stored })
        }
    }

    pub(crate) fn bytes(&self, at: usize, len: usize) -> &'a [u8] {
        self.0.get(at..at + len).unwrap_or_default()
    }

    fn text(&self, at: usize, len: usize) -> &'a [u8] {
        let field = self.bytes(at, len);
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        field.get(..end).unwrap_or_default()
    }

    fn number(&self, at: usize, len: usize, field: &'static str) -> Result<i64, ArchiveFault> {
        let bytes = self.bytes(at, len);
        number::field(bytes).ok_or_else(|| ArchiveFault::Number {
            field,
            value: String::from_utf8_lossy(bytes).into_owned(),
        })
    }

    fn unsigned(&self, at: usize, len: usize, field: &'static str) -> Result<u64, ArchiveFault> {
        let value = self.number(at, len, field)?;
        u64::try_from(value).map_err(|_| ArchiveFault::Number { field, value: value.to_string() })
    }

    fn form(&self) -> Form {
        match self.bytes(257, 8) {
            b"ustar  \0" => Form::Gnu,
            magic if magic.starts_with(b"ustar") => {
                if self.bytes(508, 4) == b"tar\0" {
                    Form::Star
                } else {
                    Form::Ustar
                }
            }
            _ => Form::V7,
        }
    }

    pub(crate) fn is_gnu(&self) -> bool {
        self.form() == Form::Gnu
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.0.get(156).copied().unwrap_or_default()
    }

    /// Name with its prefix, as written.
    pub(crate) fn path(&self) -> Vec<u8> {
        let prefix = match self.form() {
            Form::Ustar => self.text(345, 155),
            Form::Star => self.text(345, 131),
            Form::V7 | Form::Gnu => b"",
        };
        let name = self.text(0, 100);
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    pub(crate) fn mode(&self) -> Result<u32, ArchiveFault> {
        // Old writers put the file's type there too.
        let mode = self.number(100, 8, "mode")?;
        u32::try_from(mode & 0o7777)
            .map_err(|_| ArchiveFault::Number { field: "mode", value: mode.to_string() })
    }

    pub(crate) fn uid(&self) -> Result<u64, ArchiveFault> {
        self.unsigned(108, 8, "uid")
    }

    pub(crate) fn gid(&self) -> Result<u64, ArchiveFault> {
        self.unsigned(116, 8, "gid")
    }

    pub(crate) fn size(&self) -> Result<u64, ArchiveFault> {
        self.unsigned(124, 12, "size")
    }

    pub(crate) fn mtime(&self) -> Result<i64, ArchiveFault> {
        self.number(136, 12, "mtime")
    }

    pub(crate) fn device(&self) -> Result<(u32, u32), ArchiveFault> {
        if self.form() == Form::V7 {
            return Ok((0, 0));
        }
        let part = |at, field| {
            let value = self.unsigned(at, 8, field)?;
            u32::try_from(value)
                .map_err(|_| ArchiveFault::Number { field, value: value.to_string() })
        };
        Ok((part(329, "device major")?, part(337, "device minor")?))
    }

    /// Old GNU sparse headers: the map's area, whether a block of it follows,
    /// and the file's size with holes.
    pub(crate) fn old_gnu_sparse(&self) -> Result<(&'a [u8], bool, u64), ArchiveFault> {
        let continues = self.bytes(482, 1) != [0];
        Ok((self.bytes(386, 96), continues, self.unsigned(483, 12, "real size")?))
    }
}
