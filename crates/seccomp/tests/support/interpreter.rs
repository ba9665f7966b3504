//! Classic BPF as the kernel runs it on `struct seccomp_data` (networking
//! documentation, "filter"; kernel/seccomp.c for the permitted operations).

use super::Call;
use caisson_seccomp::SockFilter;

/// Checks what the kernel's verifier checks; panics if a program fails.
pub fn verify(program: &[SockFilter]) {
    assert!((1..=4096).contains(&program.len()), "{} instructions", program.len());
    for (at, instruction) in program.iter().enumerate() {
        let inside = |skip: u32| at + 1 + (skip as usize) < program.len();
        match instruction.code {
            0x20 => assert!(instruction.k.is_multiple_of(4) && instruction.k < 64, "[{at}] load"),
            0x54 | 0x06 => {}
            0x05 => assert!(inside(instruction.k), "[{at}] jump out of the program"),
            0x15 | 0x25 | 0x35 | 0x45 => {
                assert!(inside(instruction.jt.into()), "[{at}] jump out of the program");
                assert!(inside(instruction.jf.into()), "[{at}] jump out of the program");
            }
            code => panic!("[{at}] operation {code:#x}"),
        }
    }
    assert_eq!(program.last().unwrap().code, 0x06, "falls off the end");
}

/// The value that a program returns for a call.
pub fn run(program: &[SockFilter], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        at += 1;
        let holds = match code {
            0x20 => {
                accumulator = word(call, k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return k,
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            code => panic!("operation {code:#x}"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
}

#[allow(clippy::cast_possible_truncation, reason = "halves are meant")]
fn word(call: &Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.arch,
        8 | 12 => 0,
        _ => {
            let arg = call.args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
        }
    }
}
