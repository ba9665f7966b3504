//! A program's first stack: strings, pointers, auxiliary vector.

use std::ops::Range;

/// What the auxiliary vector tells of the program.
#[derive(Clone, Debug, Default)]
pub struct Auxiliary {
    /// Where its program headers are, and how many.
    pub headers: (u64, u64),
    /// Base of the interpreter.
    pub base: u64,
    /// The program's own first instruction.
    pub entry: u64,
    /// Real and effective user, real and effective group.
    pub ids: [u32; 4],
    /// Whether it runs with more than its user has.
    pub secure: bool,
    /// Sixteen random bytes.
    pub random: [u8; 16],
}

/// A stack that is ready to be written.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The stack pointer.
    pub pointer: u64,
    /// What lies from there to the top.
    pub bytes: Vec<u8>,
    /// The auxiliary vector alone.
    pub auxiliary: Vec<u8>,
    /// Where arguments and variables are, each with its zero.
    pub strings: [Range<u64>; 2],
}

impl Stack {
    /// Lays it out below `top` (a multiple of 16).
    #[must_use]
    pub fn new(
        top: u64,
        arguments: &[Vec<u8>],
        environment: &[Vec<u8>],
        path: &[u8],
        auxiliary: &Auxiliary,
    ) -> Self {
        let mut strings = Vec::new();
        let mut place = |text: &[u8]| {
            let at = strings.len() as u64;
            strings.extend_from_slice(text);
            strings.push(0);
            at
        };
        let arguments: Vec<u64> = arguments.iter().map(|a| place(a)).collect();
        let environment: Vec<u64> = environment.iter().map(|e| place(e)).collect();
        let name = place(path);
        let platform = place(b"x86_64");
        let random = place(&auxiliary.random);
        let base = (top - strings.len() as u64) & !15;
        let variables = base + environment.first().copied().unwrap_or(name);
        let strings_at = [base..variables, variables..base + name];

        let vector = |auxiliary: &Auxiliary| {
            let [user, effective_user, group, effective_group] = auxiliary.ids.map(u64::from);
            let secure = u64::from(auxiliary.secure);
            let host = crate::platform::auxiliary;
            vec![
                (3, auxiliary.headers.0),
                (4, 56),
                (5, auxiliary.headers.1),
                (6, 4096),
                (7, auxiliary.base),
                (8, 0),
                (9, auxiliary.entry),
                (11, user),
                (12, effective_user),
                (13, group),
                (14, effective_group),
                (15, base + platform),
                (16, host(16)),
                (17, 100),
                (23, secure),
                (25, base + random),
                (26, host(26)),
                (31, base + name),
                (33, crate::platform::VDSO),
                (51, host(51)),
                (0, 0),
            ]
        };
        let mut words = vec![arguments.len() as u64];
        words.extend(arguments.iter().map(|a| base + a));
        words.push(0);
        words.extend(environment.iter().map(|e| base + e));
        words.push(0);
        let pairs: Vec<u64> =
            vector(auxiliary).into_iter().flat_map(|(key, value)| [key, value]).collect();
        words.extend(&pairs);
        let auxiliary = pairs.iter().flat_map(|word| word.to_le_bytes()).collect();
        let pointer = (base - words.len() as u64 * 8) & !15;
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.resize(usize::try_from(base - pointer).unwrap_or(bytes.len()), 0);
        bytes.extend_from_slice(&strings);
        Stack { pointer, bytes, auxiliary, strings: strings_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_to_strings() {
        let arguments = [b"sh".to_vec(), b"-c".to_vec()];
        let stack = Stack::new(
            0x10_0000,
            &arguments,
            &[b"A=1".to_vec()],
            b"/bin/sh",
            &Auxiliary::default(),
        );
        assert_eq!(stack.pointer % 16, 0);
        let word = |i: usize| u64::from_le_bytes(stack.bytes[i * 8..i * 8 + 8].try_into().unwrap());
        assert_eq!(word(0), 2);
        let text = |at: u64| {
            let start = usize::try_from(at - stack.pointer).unwrap();
            stack.bytes[start..].split(|b| *b == 0).next().unwrap().to_vec()
        };
        assert_eq!(text(word(1)), b"sh");
        assert_eq!(text(word(2)), b"-c");
        let [first, second] = stack.strings;
        assert_eq!((first.start, first.end), (word(1), word(1) + 6));
        assert_eq!((second.start, second.end), (word(4), word(4) + 4));
        assert_eq!(word(3), 0);
        assert_eq!(text(word(4)), b"A=1");
        assert_eq!(word(5), 0);
        assert_eq!(word(6), 3);
        assert!(stack.pointer + stack.bytes.len() as u64 <= 0x10_0000);
    }
}
