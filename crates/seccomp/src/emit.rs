//! Classic BPF instructions, written from the end of the program backwards.
//!
//! Jumps in classic BPF only go forward, so every target exists when a jump
//! to it is written, and the distance is known. Conditional jumps reach 255
//! instructions; to go further they jump to an unconditional one, or to a
//! copy of the return instruction that they want.

use caisson_sys::seccomp::SockFilter;

const LD_W_ABS: u16 = 0x20;
const ALU_AND_K: u16 = 0x54;
const JMP_JA: u16 = 0x05;
const RET_K: u16 = 0x06;

/// Conditions of jumps: the accumulator against a constant, unsigned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Jump {
    Equal = 0x15,
    Greater = 0x25,
    GreaterEqual = 0x35,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// End the program with this value.
    Return(u32),
    /// An instruction, counted from the end of the program.
    At(usize),
}

/// Farthest that a conditional jump reaches.
const REACH: usize = 255;

/// A program under construction.
#[derive(Debug, Default)]
pub(crate) struct Emitter {
    /// Last instruction first.
    reversed: Vec<SockFilter>,
    /// Latest return instruction for each value.
    returns: Vec<(u32, usize)>,
}

impl Emitter {
    pub(crate) fn new() -> Self {
        Self { reversed: Vec::with_capacity(1024), returns: Vec::with_capacity(8) }
    }

    /// `if accumulator <condition> k { yes } else { no }`
    pub(crate) fn branch(&mut self, condition: Jump, k: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        // Placing `no` can add one instruction between this one and `yes`.
        let yes = self.within(yes, REACH - 1);
        let no = self.within(no, REACH);
        let (jt, jf) = (self.distance(yes), self.distance(no));
        self.push(condition as u16, jt, jf, k)
    }

    /// Loads the 32-bit word at `offset` of `struct seccomp_data`, then goes
    /// on at `next`.
    pub(crate) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.within(next, 0);
        self.push(LD_W_ABS, 0, 0, offset)
    }

    /// `accumulator &= mask`, then goes on at `next`.
    pub(crate) fn and(&mut self, mask: u32, next: Target) -> Target {
        self.within(next, 0);
        self.push(ALU_AND_K, 0, 0, mask)
    }

    /// The program that begins at `entry`, which is the latest instruction.
    pub(crate) fn finish(mut self, entry: Target) -> Vec<SockFilter> {
        self.within(entry, 0);
        self.reversed.reverse();
        self.reversed
    }

    /// The index of an instruction that does what `target` does, at most
    /// `reach` instructions after the next one to be written.
    fn within(&mut self, target: Target, reach: usize) -> usize {
        let next = self.reversed.len();
        let near = |at: usize| next - at - 1 <= reach;
        match target {
            Target::At(at) if near(at) => at,
            Target::At(at) => {
                let skip = u32::try_from(next - at - 1).unwrap_or(u32::MAX);
                self.push(JMP_JA, 0, 0, skip);
                next
            }
            Target::Return(value) => {
                let known = self.returns.iter_mut().find(|known| known.0 == value);
                match known {
                    Some(known) if near(known.1) => return known.1,
                    Some(known) => known.1 = next,
                    None => self.returns.push((value, next)),
                }
                self.push(RET_K, 0, 0, value);
                next
            }
        }
    }

    fn distance(&self, at: usize) -> u8 {
        u8::try_from(self.reversed.len() - at - 1).unwrap_or(u8::MAX)
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Target {
        self.reversed.push(SockFilter { code, jt, jf, k });
        Target::At(self.reversed.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the instruction at `from` (in execution order) ends up if its
    /// condition has this value: what is returned.
    fn follow(program: &[SockFilter], from: usize, holds: bool) -> u32 {
        let first = program[from];
        let mut at = from + 1 + usize::from(if holds { first.jt } else { first.jf });
        loop {
            match program[at] {
                SockFilter { code: RET_K, k, .. } => return k,
                SockFilter { code: JMP_JA, k, .. } => at += 1 + k as usize,
                // A load of the filling leads on to the next instruction.
                _ => at += 1,
            }
        }
    }

    #[test]
    fn branches_reach_targets_at_every_distance() {
        for yes_filling in [0, 1, 240, 252, 253, 254, 255, 256, 257, 600] {
            for no_filling in [0, 1, 2, 253, 254, 255, 256, 257, 600] {
                for returns in [false, true] {
                    let mut emitter = Emitter::new();
                    let mut yes = emitter.load(0, Target::Return(1));
                    let mut no = emitter.load(0, Target::Return(2));
                    if returns {
                        (yes, no) = (Target::Return(1), Target::Return(2));
                    }
                    let mut filling = Target::Return(3);
                    for _ in 0..no_filling {
                        filling = emitter.load(4, filling);
                    }
                    if !returns && yes_filling < no_filling {
                        yes = emitter.load(0, Target::Return(1));
                    }
                    for _ in 0..yes_filling {
                        filling = emitter.load(4, filling);
                    }
                    let branch = emitter.branch(Jump::Equal, 7, yes, no);
                    let program = emitter.finish(branch);
                    let case = format!("{yes_filling} {no_filling} {returns}");
                    assert_eq!(follow(&program, 0, true), 1, "{case}");
                    assert_eq!(follow(&program, 0, false), 2, "{case}");
                }
            }
        }
    }
}
