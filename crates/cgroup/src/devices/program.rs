//! Device rules as a program for `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! The program gets `struct bpf_cgroup_dev_ctx { u32 access_type, major, minor }`
//! with the kind of device in the low and the requested access in the high half
//! of `access_type`. Rules are tried from the last to the first, and each
//! decides about those kinds of access that no later rule has decided about:
//! the last match wins, for each kind of access by itself.

use super::rule::{Access, DeviceKind, DeviceMatch, Rule};
use caisson_sys::bpf::Instruction;

const BPF_DEVCG_DEV_BLOCK: i32 = 1;
const BPF_DEVCG_DEV_CHAR: i32 = 2;

/// Registers: result, context/scratch, kind, access not yet decided, major, minor.
const R0: u8 = 0;
const R1: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_LDX | BPF_MEM | BPF_W`
const LOAD_WORD: u8 = 0x61;
/// `BPF_ALU | …`, 32 bits, immediate.
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb4;
/// `BPF_ALU | BPF_MOV | BPF_X`
const MOVE_REGISTER: u8 = 0xbc;
/// `BPF_JMP32 | …`, immediate (Linux 5.1).
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_EQUAL: u8 = 0x16;
/// `BPF_JMP | BPF_EXIT`
const EXIT: u8 = 0x95;

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | (source << 4), offset, immediate }
}

/// Compiles rules. Those before the last rule for all devices can't matter.
pub(crate) fn compile(rules: &[Rule]) -> Vec<Instruction> {
    let start = rules.iter().rposition(|rule| rule.what.is_none());
    let default_allow = start.and_then(|at| rules.get(at)).is_some_and(|rule| rule.allow);
    let tail = rules.get(start.map_or(0, |at| at + 1)..).unwrap_or_default();
    let mut code = Vec::with_capacity(8 + tail.len() * 9);
    code.push(instruction(LOAD_WORD, KIND, R1, 0, 0));
    code.push(instruction(MOVE_REGISTER, WANTED, KIND, 0, 0));
    code.push(instruction(AND, KIND, 0, 0, 0xffff));
    code.push(instruction(SHIFT_RIGHT, WANTED, 0, 0, 16));
    code.push(instruction(LOAD_WORD, MAJOR, R1, 4, 0));
    code.push(instruction(LOAD_WORD, MINOR, R1, 8, 0));
    for rule in tail.iter().rev() {
        if let Some((what, access)) = rule.what {
            push_rule(&mut code, rule.allow, what, access);
        }
    }
    push_return(&mut code, default_allow);
    code
}

fn push_return(code: &mut Vec<Instruction>, allow: bool) {
    code.push(instruction(MOVE, R0, 0, 0, i32::from(allow)));
    code.push(instruction(EXIT, 0, 0, 0, 0));
}

fn push_rule(code: &mut Vec<Instruction>, allow: bool, what: DeviceMatch, access: Access) {
    let kind = match what.kind {
        DeviceKind::Char => BPF_DEVCG_DEV_CHAR,
        DeviceKind::Block => BPF_DEVCG_DEV_BLOCK,
    };
    let bits = i32::from(access.bits());
    let body: &[Instruction] = &if allow {
        // wanted &= !access; all decided: allowed
        [
            instruction(AND, WANTED, 0, 0, !bits),
            instruction(JUMP_IF_NOT_EQUAL, WANTED, 0, 2, 0),
            instruction(MOVE, R0, 0, 0, 1),
            instruction(EXIT, 0, 0, 0, 0),
            instruction(MOVE, R0, 0, 0, 0),
        ]
    } else {
        // any undecided access that this rule denies: denied
        [
            instruction(MOVE_REGISTER, R1, WANTED, 0, 0),
            instruction(AND, R1, 0, 0, bits),
            instruction(JUMP_IF_EQUAL, R1, 0, 2, 0),
            instruction(MOVE, R0, 0, 0, 0),
            instruction(EXIT, 0, 0, 0, 0),
        ]
    };
    // The comparisons skip what is left of them and the body.
    let numbers = [(MAJOR, what.major), (MINOR, what.minor)];
    let mut skip = 5 + numbers.iter().filter(|(_, number)| number.is_some()).count();
    let mut compare = |register, value| {
        let offset = i16::try_from(skip).unwrap_or(0);
        code.push(instruction(JUMP_IF_NOT_EQUAL, register, 0, offset, value));
        skip -= 1;
    };
    compare(KIND, kind);
    for (register, number) in numbers {
        if let Some(number) = number {
            compare(register, number.cast_signed());
        }
    }
    code.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use caisson_sys::bpf::DeviceProgram;

    fn rule(allow: bool, numbers: (Option<u32>, Option<u32>), access: &str) -> Rule {
        let what = DeviceMatch { kind: DeviceKind::Char, major: numbers.0, minor: numbers.1 };
        Rule { allow, what: Some((what, Access::parse(access).unwrap())) }
    }

    /// Interprets the instructions that `compile` emits.
    fn run(code: &[Instruction], kind: u32, access: &str, major: u32, minor: u32) -> bool {
        let access = u32::from(Access::parse(access).unwrap().bits());
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u32; 8];
        let mut at = 0_usize;
        loop {
            let i = code[at];
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let immediate = i.immediate.cast_unsigned();
            at += 1;
            let jump = match i.code {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(i.offset).unwrap() / 4];
                    false
                }
                AND => {
                    registers[to] &= immediate;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= immediate;
                    false
                }
                MOVE => {
                    registers[to] = immediate;
                    false
                }
                MOVE_REGISTER => {
                    registers[to] = registers[from];
                    false
                }
                JUMP_IF_NOT_EQUAL => registers[to] != immediate,
                JUMP_IF_EQUAL => registers[to] == immediate,
                EXIT => return registers[0] == 1,
                other => panic!("unknown instruction {other:#x}"),
            };
            if jump {
                at += usize::try_from(i.offset).unwrap();
            }
        }
    }

    #[test]
    fn last_match_wins_for_each_kind_of_access() {
        let deny_all = Rule { allow: false, what: None };
        let rules = [
            rule(true, (None, None), "rwm"),
            deny_all,
            rule(true, (Some(1), None), "rwm"),
            rule(false, (Some(1), Some(5)), "w"),
            rule(true, (Some(1), Some(6)), "r"),
            rule(true, (None, None), "m"),
        ];
        let code = compile(&rules);
        DeviceProgram::load(&code, "caisson_test").unwrap();
        let allowed = |access, major, minor| run(&code, 2, access, major, minor);
        assert!(allowed("rw", 1, 3));
        assert!(allowed("r", 1, 5));
        assert!(!allowed("w", 1, 5));
        assert!(!allowed("rw", 1, 5));
        assert!(allowed("m", 1, 5));
        assert!(allowed("rw", 1, 6), "decided by two rules together");
        assert!(allowed("m", 9, 9));
        assert!(!allowed("r", 9, 9));
        assert!(!run(&code, 1, "r", 1, 3), "block device");
    }

    #[test]
    fn allow_all_with_denials() {
        let rules = [Rule { allow: true, what: None }, rule(false, (Some(5), Some(1)), "rw")];
        let code = compile(&rules);
        assert!(run(&code, 1, "rwm", 8, 0));
        assert!(!run(&code, 2, "r", 5, 1));
        assert!(run(&code, 2, "m", 5, 1));
        assert!(run(&compile(&[Rule { allow: true, what: None }]), 2, "r", 1, 1));
        assert!(!run(&compile(&[]), 2, "r", 1, 1));
    }

    #[test]
    fn large_numbers_are_compared_unsigned() {
        let code = compile(&[rule(true, (Some(u32::MAX), Some(0x8000_0000)), "r")]);
        assert!(run(&code, 2, "r", u32::MAX, 0x8000_0000));
        assert!(!run(&code, 2, "r", u32::MAX, 0x7fff_ffff));
    }
}
