//! How much an archive may ask for.

/// Caps on a layer archive. An archive beyond any of them is refused with the
/// name of the cap; none is silently cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries, extension headers and directories implied by paths, together.
    pub entries: u64,
    /// Bytes of the uncompressed archive; also the sum of all file sizes as
    /// they will appear, holes counted.
    pub total_bytes: u64,
    /// Size of one file, holes counted.
    pub file_bytes: u64,
    /// Bytes of a path or of a link's target; never above 4095, the kernel's.
    pub path_bytes: usize,
    /// Components of a path.
    pub path_depth: usize,
    /// Bytes of one PAX extended header.
    pub pax_bytes: u64,
    /// Extended attributes of one entry.
    pub xattrs: usize,
    /// Bytes of all names and values of one entry's extended attributes.
    pub xattr_bytes: usize,
    /// Whiteouts of one layer, opaque markers counted.
    pub whiteouts: u64,
    /// Pieces of data of one sparse file.
    pub sparse_pieces: usize,
}

impl Default for Limits {
    /// Far above every image we know of, far below what hurts a machine.
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            total_bytes: 512 << 30,
            file_bytes: 256 << 30,
            path_bytes: 4095,
            path_depth: 512,
            pax_bytes: 1 << 20,
            xattrs: 128,
            xattr_bytes: 256 << 10,
            whiteouts: 500_000,
            sparse_pieces: 262_144,
        }
    }
}
