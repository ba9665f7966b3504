//! Modes of a terminal: `struct termios` of the kernel.

/// Input modes.
pub(super) mod input {
    #![allow(missing_docs, reason = "names of termios(3)")]
    pub(crate) const ISTRIP: u32 = 0o40;
    pub(crate) const INLCR: u32 = 0o100;
    pub(crate) const IGNCR: u32 = 0o200;
    pub(crate) const ICRNL: u32 = 0o400;
    pub(crate) const IUCLC: u32 = 0o1000;
    pub(crate) const IXON: u32 = 0o2000;
    pub(crate) const IXANY: u32 = 0o4000;
    pub(crate) const IMAXBEL: u32 = 0o20000;
    pub(crate) const IUTF8: u32 = 0o40000;
}

/// Output modes.
pub(super) mod output {
    #![allow(missing_docs, reason = "names of termios(3)")]
    pub(crate) const OPOST: u32 = 0o1;
    pub(crate) const OLCUC: u32 = 0o2;
    pub(crate) const ONLCR: u32 = 0o4;
    pub(crate) const OCRNL: u32 = 0o10;
    pub(crate) const ONOCR: u32 = 0o20;
    pub(crate) const ONLRET: u32 = 0o40;
    pub(crate) const XTABS: u32 = 0o14000;
}

/// Local modes.
pub(super) mod local {
    #![allow(missing_docs, reason = "names of termios(3)")]
    pub(crate) const ISIG: u32 = 0o1;
    pub(crate) const ICANON: u32 = 0o2;
    pub(crate) const ECHO: u32 = 0o10;
    pub(crate) const ECHOE: u32 = 0o20;
    pub(crate) const ECHOK: u32 = 0o40;
    pub(crate) const ECHONL: u32 = 0o100;
    pub(crate) const NOFLSH: u32 = 0o200;
    pub(crate) const TOSTOP: u32 = 0o400;
    pub(crate) const ECHOCTL: u32 = 0o1000;
    pub(crate) const ECHOKE: u32 = 0o4000;
    pub(crate) const IEXTEN: u32 = 0o100_000;
}

/// Special characters, by their place.
pub(super) mod special {
    #![allow(missing_docs, reason = "names of termios(3)")]
    pub(crate) const INTR: usize = 0;
    pub(crate) const QUIT: usize = 1;
    pub(crate) const ERASE: usize = 2;
    pub(crate) const KILL: usize = 3;
    pub(crate) const EOF: usize = 4;
    pub(crate) const TIME: usize = 5;
    pub(crate) const MIN: usize = 6;
    pub(crate) const START: usize = 8;
    pub(crate) const STOP: usize = 9;
    pub(crate) const SUSP: usize = 10;
    pub(crate) const EOL: usize = 11;
    pub(crate) const REPRINT: usize = 12;
    pub(crate) const WERASE: usize = 14;
    pub(crate) const LNEXT: usize = 15;
    pub(crate) const EOL2: usize = 16;
}

/// Bytes of `struct termios`.
pub(super) const SIZE: usize = 36;
/// Bytes of `struct termios2`, with speeds.
pub(super) const SIZE2: usize = 44;

/// Bytes of `struct termio`: half of each word of modes, and eight characters.
pub(super) const SHORT: usize = 18;

/// Modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Termios {
    pub(super) input: u32,
    pub(super) output: u32,
    control: u32,
    pub(super) local: u32,
    discipline: u8,
    characters: [u8; 19],
    speeds: [u32; 2],
}

/// `CS8 | CREAD`
const EIGHT_BITS: u32 = 0o260;
/// `CSIZE | PARENB`
const LINE: u32 = 0o460;

impl Default for Termios {
    fn default() -> Self {
        let mut characters = [0; 19];
        let usual = [3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16];
        for (to, from) in characters.iter_mut().zip(usual) {
            *to = from;
        }
        Termios {
            input: input::ICRNL | input::IXON,
            output: output::OPOST | output::ONLCR,
            // B38400
            control: EIGHT_BITS | 0o17,
            local: 0o105_073,
            discipline: 0,
            characters,
            speeds: [38_400; 2],
        }
    }
}

impl Termios {
    /// A special character; `None` if it is switched off.
    pub(super) fn special(&self, which: usize) -> Option<u8> {
        self.characters.get(which).copied().filter(|c| *c != 0)
    }

    /// A number that stands among the special characters.
    pub(super) fn number(&self, which: usize) -> u8 {
        self.characters.get(which).copied().unwrap_or(0)
    }

    pub(super) fn is_canonical(&self) -> bool {
        self.local & local::ICANON != 0
    }

    /// As the kernel lays it out, with speeds or without.
    pub(super) fn bytes(&self) -> [u8; SIZE2] {
        let mut bytes = [0; SIZE2];
        let words = [self.input, self.output, self.control, self.local];
        let own = words.iter().flat_map(|w| w.to_le_bytes());
        let rest = [self.discipline].into_iter().chain(self.characters);
        let speeds = self.speeds.iter().flat_map(|s| s.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(own.chain(rest).chain(speeds)) {
            *to = from;
        }
        bytes
    }

    /// As System V has it.
    pub(super) fn short_bytes(&self) -> [u8; SHORT] {
        let all = self.bytes();
        let halves = all.chunks_exact(4).take(4).flat_map(|word| word.iter().take(2));
        let rest = [self.discipline].into_iter().chain(self.characters).take(9);
        let mut bytes = [0; SHORT];
        for (to, from) in bytes.iter_mut().zip(halves.copied().chain(rest)) {
            *to = from;
        }
        bytes
    }

    /// These modes as the kernel lays them out, with what a guest gave as System V has it.
    pub(super) fn with_short(&self, short: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes().get(..SIZE).unwrap_or_default().to_vec();
        let halves = bytes.chunks_exact_mut(4).take(4).flat_map(|word| word.iter_mut().take(2));
        halves.zip(short).for_each(|(to, from)| *to = *from);
        let rest = bytes.iter_mut().skip(16).take(9);
        rest.zip(short.iter().skip(8)).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// These modes with what a guest gave; with speeds, if there are bytes of them.
    pub(super) fn changed(&self, bytes: &[u8]) -> Termios {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
            word.map(u32::from_le_bytes)
        };
        let mut new = *self;
        new.input = word(0).unwrap_or(self.input);
        new.output = word(4).unwrap_or(self.output);
        // A pseudo-terminal always has eight bits and no parity.
        new.control = word(8).unwrap_or(self.control) & !LINE | EIGHT_BITS;
        new.local = word(12).unwrap_or(self.local);
        for (to, from) in new.characters.iter_mut().zip(bytes.iter().skip(17)) {
            *to = *from;
        }
        if let (Some(first), Some(second)) = (word(36), word(40)) {
            new.speeds = [first, second];
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_can_be_given_back() {
        let usual = Termios::default();
        let bytes = usual.bytes();
        assert_eq!(bytes[..16], [0, 5, 0, 0, 5, 0, 0, 0, 0xbf, 0, 0, 0, 0x3b, 0x8a, 0, 0]);
        assert_eq!(usual.changed(&bytes), usual);
        assert_eq!(usual.changed(&bytes[..SIZE]), usual);
        let short = usual.short_bytes();
        assert_eq!(short[..9], [0, 5, 5, 0, 0xbf, 0, 0x3b, 0x8a, 0]);
        assert_eq!(usual.changed(&usual.with_short(&short)), usual);
        assert_eq!(usual.special(special::EOF), Some(4));
        assert_eq!(usual.special(special::EOL), None);
    }
}
