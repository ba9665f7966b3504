//! Valid archives with bytes changed, by a fixed seed: whatever comes out, it
//! is no panic, no hang, and nothing outside the target.

use crate::archive::{Header, Tar};
use crate::sandbox::Sandbox;

/// Rounds; each unpacks one archive.
const ROUNDS: u32 = 600;

/// xorshift64*: enough to spread changes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut sparse = Header::new(b'S', "sparse", 512);
    sparse.put(257, b"ustar  \0");
    sparse.octal(386, 12, 512).octal(398, 12, 512).octal(483, 12, 4096);
    vec![
        Tar::new()
            .dir("./")
            .dir("a")
            .file("a/b", b"content")
            .symlink("l", "../outside")
            .file("l/secret", b"x")
            .hard_link("h", "a/b")
            .file("a/.wh.x", b"")
            .file("a/.wh..wh..opq", b"")
            .end(),
        Tar::new()
            .pax(&[
                ("path", b"long/path/by/pax"),
                ("size", b"4"),
                ("mtime", b"1.5"),
                ("SCHILY.xattr.user.a", b"value"),
            ])
            .file("x", b"data")
            .long_name(b'L', b"long/name/by/gnu")
            .long_name(b'K', b"../outside/secret")
            .symlink("x", "y")
            .extended(b'g', &[("comment", b"x")])
            .end(),
        Tar::new()
            .entry(sparse, &[7; 512])
            .pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"holes"),
                ("GNU.sparse.realsize", b"2000"),
            ])
            .file("x", &[&b"1\n1000\n4\n"[..], &[0; 503], b"data"].concat())
            .header(Header::new(b'6', "fifo", 0))
            .end(),
    ]
}

/// Sets the checksums of whole blocks right, so that the change gets past them.
fn reseal(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].copy_from_slice(b"        ");
            let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

#[test]
fn changed_bytes() {
    let seeds = seeds();
    let mut random = Random(0x0ca1_5504);
    let words: [&[u8]; 10] =
        [b"../", b"/", b"\0", b".wh.", b"\xff\xff\xff\xff", b"\x80", b"9999", b"=", b"..", b"l/"];
    let mut unpacked = 0;
    for _ in 0..ROUNDS {
        let mut archive = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(archive.len());
            match random.below(4) {
                0 => archive[at] ^= 1 << random.below(8),
                1 => {
                    let word = words[random.below(words.len())];
                    for (to, from) in archive[at..].iter_mut().zip(word) {
                        *to = *from;
                    }
                }
                // Whole blocks go, or come twice.
                2 => {
                    let at = at / 512 * 512;
                    let block = archive[at..at + 512].to_vec();
                    let to = random.below(archive.len() / 512) * 512;
                    archive[to..to + 512].copy_from_slice(&block);
                }
                _ => archive[at / 512 * 512 + random.below(157)] = b'0' + (random.next() % 8) as u8,
            }
        }
        if random.below(8) != 0 {
            reseal(&mut archive);
        }
        if random.below(16) == 0 {
            archive.truncate(random.below(archive.len()));
        }
        let sandbox = Sandbox::new();
        let mut options = crate::sandbox::options();
        options.limits.file_bytes = 1 << 20;
        // The sandbox looks at what is outside.
        unpacked += u32::from(sandbox.unpack_with(archive.as_slice(), &options).is_ok());
    }
    // Neither all refused at the first checksum nor all harmless.
    assert!((ROUNDS / 10..ROUNDS).contains(&unpacked), "{unpacked} of {ROUNDS} were unpacked");
}
