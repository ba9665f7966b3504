//! Finds `:authority` in a block of headers (RFC 7541) and writes over it.

/// Index of `:authority` in the static table (appendix A).
const AUTHORITY: usize = 1;
/// The name in full, for clients that write it out, and as Huffman's code.
const NAME: &[u8] = b":authority";
const CODED_NAME: [u8; 8] = [0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// A character of a host with a code of so many bits, and that code (appendix
/// B): `a`, `b`, `j`, `X`.
const CODES: [(u32, u32); 4] = [(5, 0b0_0011), (6, 0b10_0011), (7, 0b111_0100), (8, 0b1111_1100)];

/// How many codes of each length there are, from the shortest. Codes of a length
/// follow one another, and go on where those of the last length ended; so this
/// is all that it takes to tell where a code ends.
const LENGTHS: [(u32, u32); 21] = [
    (5, 10),
    (6, 26),
    (7, 32),
    (8, 6),
    (10, 5),
    (11, 3),
    (12, 2),
    (13, 6),
    (14, 2),
    (15, 3),
    (19, 3),
    (20, 8),
    (21, 13),
    (22, 26),
    (23, 29),
    (24, 12),
    (25, 4),
    (26, 15),
    (27, 19),
    (28, 29),
    (30, 4),
];

/// Writes a host of the same length over each value of `:authority`. Stops where
/// the block makes no sense: whoever decodes it says so.
pub(super) fn give_host(block: &mut [u8]) {
    let mut at = 0;
    while let Some(next) = field(block, at) {
        at = next;
    }
}

/// Looks at the field at `at`; where the next one begins.
fn field(block: &mut [u8], at: usize) -> Option<usize> {
    let first = *block.get(at)?;
    // Indexed (6.1), and a new size of the table (6.3): no value here.
    if first & 0x80 != 0 {
        return Some(number(block, at, 7)?.1);
    }
    if first & 0xe0 == 0x20 {
        return Some(number(block, at, 5)?.1);
    }
    // A literal, to be kept in the table or not (6.2).
    let (name, mut at) = number(block, at, if first & 0x40 != 0 { 6 } else { 4 })?;
    let mut is_authority = name == AUTHORITY;
    if name == 0 {
        let (coded, start, end) = string(block, at)?;
        let name = block.get(start..end)?;
        is_authority = if coded { name == CODED_NAME } else { name == NAME };
        at = end;
    }
    let (coded, start, end) = string(block, at)?;
    if is_authority {
        let value = block.get_mut(start..end)?;
        if coded { write_coded(value) } else { value.fill(b'a') }
    }
    Some(end)
}

/// A number with a prefix of `bits` (5.1), and where it ends.
fn number(block: &[u8], at: usize, bits: u32) -> Option<(usize, usize)> {
    let mask = (1_usize << bits) - 1;
    let first = usize::from(*block.get(at)?) & mask;
    let mut at = at + 1;
    if first < mask {
        return Some((first, at));
    }
    let mut value = first;
    for shift in [0, 7, 14] {
        let byte = usize::from(*block.get(at)?);
        at += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    // More than any frame holds.
    None
}

/// A string (5.2): whether it is coded, and from where to where it goes.
fn string(block: &[u8], at: usize) -> Option<(bool, usize, usize)> {
    let coded = block.get(at)? & 0x80 != 0;
    let (length, start) = number(block, at, 7)?;
    let end = start.checked_add(length)?;
    (end <= block.len()).then_some((coded, start, end))
}

/// How many characters a coded string has; none if it is malformed.
fn characters(coded: &[u8]) -> Option<u32> {
    let mut bits =
        coded.iter().flat_map(|byte| (0..8).rev().map(move |i| u32::from(byte >> i) & 1));
    let mut count = 0;
    loop {
        let (mut code, mut read, mut first) = (0_u32, 0, 0_u32);
        let mut found = false;
        for (length, codes) in LENGTHS {
            while read < length {
                // The end is filled up with ones, seven at most.
                let Some(bit) = bits.next() else { return (read < 8).then_some(count) };
                code = code << 1 | bit;
                read += 1;
                first <<= 1;
            }
            if code.checked_sub(first)? < codes {
                found = true;
                break;
            }
            first += codes;
        }
        if !found {
            return None;
        }
        count += 1;
    }
}

/// Writes as many characters over a coded string, in as many bytes.
fn write_coded(value: &mut [u8]) {
    let Some(count) = characters(value) else { return };
    let Some(space) = u32::try_from(value.len()).ok().and_then(|n| n.checked_mul(8)) else {
        return;
    };
    // Short codes first; longer ones until less than a byte is left.
    let Some(mut spare) = count.checked_mul(5).and_then(|short| space.checked_sub(short)) else {
        return;
    };
    if spare > count * 3 + 7 {
        // Longer codes than hosts have. Its decoder will say what it is.
        return;
    }
    let (mut at, mut bits, mut held) = (0, 0_u64, 0);
    let mut put = |code: u32, length: u32| {
        bits = bits << length | u64::from(code);
        held += length;
        while held >= 8 {
            held -= 8;
            if let Some(byte) = value.get_mut(at) {
                *byte = u8::try_from(bits >> held & 0xff).unwrap_or_default();
            }
            at += 1;
        }
    };
    for _ in 0..count {
        let extra = spare.min(3);
        let Some((length, code)) = CODES.get(usize::try_from(extra).unwrap_or_default()) else {
            return;
        };
        spare -= extra;
        put(*code, *length);
    }
    put((1 << spare) - 1, spare);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `www.example.com` and others, coded (RFC 7541, C.4.1 and C.6).
    const EXAMPLE: [u8; 12] =
        [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];

    #[test]
    fn characters_are_counted_without_knowing_them() {
        assert_eq!(characters(&EXAMPLE), Some(15));
        // no-cache, custom-key, a date, a URL.
        assert_eq!(characters(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]), Some(8));
        assert_eq!(characters(&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f]), Some(10));
        assert_eq!(characters(&CODED_NAME), Some(10));
        assert_eq!(characters(&[]), Some(0));
        // EOS in the middle, or more than seven ones at the end.
        assert_eq!(characters(&[0xff, 0xff]), None);
    }

    #[test]
    fn a_coded_value_keeps_its_length_and_its_characters() {
        let mut block = vec![0x41, 0x8c];
        block.extend(EXAMPLE);
        let before = block.clone();
        give_host(&mut block);
        assert_ne!(block, before);
        assert_eq!(block.len(), before.len());
        assert_eq!(characters(&block[2..]), Some(15));
    }

    #[test]
    fn every_length_fills_its_bytes() {
        // n characters of five to eight bits each.
        for count in 1..40_u32 {
            for (length, code) in CODES {
                let total = count * length;
                let mut value = vec![0; usize::try_from(total.div_ceil(8)).unwrap()];
                let mut bits: Vec<u32> = Vec::new();
                for _ in 0..count {
                    bits.extend((0..length).rev().map(|i| code >> i & 1));
                }
                bits.resize(value.len() * 8, 1);
                for (byte, eight) in value.iter_mut().zip(bits.chunks(8)) {
                    *byte = eight.iter().fold(0, |b, bit| b << 1 | u8::try_from(*bit).unwrap());
                }
                assert_eq!(characters(&value), Some(count));
                write_coded(&mut value);
                assert_eq!(characters(&value), Some(count), "{count} of {length} bits");
            }
        }
    }

    #[test]
    fn other_fields_stay_and_the_authority_may_stand_anywhere() {
        let mut block = vec![0x82, 0x3f, 0x10, 0x86];
        block.extend(b"\x04\x0c/sample/path");
        block.extend(b"\x00\x0a:authority\x02/x");
        block.extend(b"\x40\x05other\x02/x");
        let mut wanted = block.clone();
        let at = block.windows(4).position(|w| w == b"\x02/x\x40").unwrap();
        wanted[at + 1..at + 3].copy_from_slice(b"aa");
        give_host(&mut block);
        assert_eq!(block, wanted);
    }
}
