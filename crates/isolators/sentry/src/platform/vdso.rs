//! The guest's own vDSO: an ELF image of five functions that answer from the
//! time-stamp counter and a page of parameters (`clock.rs`), or make the call.
//!
//! It is the same in every address space, above what guests can map, readable
//! and executable. Whatever a guest makes of it is a system call like any other.

use core::arch::global_asm;

use super::stub::CODE;

/// The page of parameters; readable.
pub(super) const DATA: u64 = CODE + 0x1_0000;
/// The image: `AT_SYSINFO_EHDR`.
pub const VDSO: u64 = DATA + 0x1000;
/// Bytes of it.
pub const VDSO_SIZE: u64 = 0x1000;

// Offsets in the page of parameters; `clock::Page` has them.
pub(super) const SEQUENCE: usize = 0;
pub(super) const BASE: usize = 8;
pub(super) const RATE: usize = 16;
pub(super) const LIMIT: usize = 24;
pub(super) const MONOTONIC: usize = 32;
/// By number of clock: what is to be added to the monotonic one.
pub(super) const OFFSETS: usize = 64;
/// Processors that guests see.
pub(super) const PROCESSORS: usize = 4;

/// Clocks that are read without a call: real, monotonic, their coarse forms,
/// and the one that goes on in suspension.
pub(super) const CLOCKS: u32 = 1 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7;
/// Nanoseconds between two values of a coarse clock.
pub const COARSE: u64 = 4_000_000;

// `now`: nanoseconds of clock ecx in rax, or carry. Changes rdx, r8 to r11.
// A counter before the base or past the limit, and a page that is being changed,
// are the sentry's to answer. Loads are not reordered with loads on this processor.
global_asm!(
    ".pushsection .rodata",
    ".balign 16",
    "caisson_vdso_start:",
    "caisson_vdso_now:",
    "mov r8, {data}",
    "mov r9d, [r8 + {sequence}]",
    "test r9d, 1",
    "jnz 2f",
    "lfence",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "sub rax, [r8 + {base}]",
    "jb 2f",
    "cmp rax, [r8 + {limit}]",
    "jae 2f",
    "mul qword ptr [r8 + {rate}]",
    "shrd rax, rdx, 32",
    "add rax, [r8 + {monotonic}]",
    "add rax, [r8 + rcx * 8 + {offsets}]",
    "cmp r9d, [r8 + {sequence}]",
    "jne caisson_vdso_now",
    "clc",
    "ret",
    "2:",
    "stc",
    "ret",
    ".balign 16",
    "caisson_vdso_clock_gettime:",
    "cmp edi, 7",
    "ja 3f",
    "mov eax, {clocks}",
    "bt eax, edi",
    "jnc 3f",
    "mov ecx, edi",
    "call caisson_vdso_now",
    "jc 3f",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "mov [rsi], rax",
    "mov [rsi + 8], rdx",
    "xor eax, eax",
    "ret",
    "3:",
    "mov eax, 228",
    "syscall",
    "ret",
    ".balign 16",
    "caisson_vdso_gettimeofday:",
    "xor ecx, ecx",
    "call caisson_vdso_now",
    "jc 4f",
    "test rdi, rdi",
    "jz 5f",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "mov [rdi], rax",
    "mov eax, edx",
    "xor edx, edx",
    "mov ecx, 1000",
    "div ecx",
    "mov [rdi + 8], rax",
    "5:",
    "xor eax, eax",
    "test rsi, rsi",
    "jz 6f",
    "mov [rsi], rax",
    "6:",
    "ret",
    "4:",
    "mov eax, 96",
    "syscall",
    "ret",
    ".balign 16",
    "caisson_vdso_time:",
    "xor ecx, ecx",
    "call caisson_vdso_now",
    "jc 7f",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "test rdi, rdi",
    "jz 8f",
    "mov [rdi], rax",
    "8:",
    "ret",
    "7:",
    "mov eax, 201",
    "syscall",
    "ret",
    ".balign 16",
    "caisson_vdso_clock_getres:",
    "cmp edi, 7",
    "ja 9f",
    "test rsi, rsi",
    "jz 9f",
    "mov eax, 1",
    "mov ecx, {coarse}",
    "mov edx, 0x60",
    "bt edx, edi",
    "cmovc eax, ecx",
    "mov [rsi + 8], rax",
    "xor eax, eax",
    "mov [rsi], rax",
    "ret",
    "9:",
    "mov eax, 229",
    "syscall",
    "ret",
    ".balign 16",
    // Linux keeps a processor's number in the limit of this segment.
    "caisson_vdso_getcpu:",
    "mov eax, 0x7b",
    "lsl eax, eax",
    "jnz 20f",
    "mov r8, {data}",
    "mov ecx, [r8 + {processors}]",
    "test ecx, ecx",
    "jz 20f",
    "and eax, 0xfff",
    "xor edx, edx",
    "div ecx",
    "test rdi, rdi",
    "jz 21f",
    "mov [rdi], edx",
    "21:",
    "xor eax, eax",
    "test rsi, rsi",
    "jz 22f",
    "mov [rsi], eax",
    "22:",
    "ret",
    "20:",
    "mov eax, 309",
    "syscall",
    "ret",
    "caisson_vdso_end:",
    ".popsection",
    data = const DATA,
    sequence = const SEQUENCE,
    base = const BASE,
    limit = const LIMIT,
    rate = const RATE,
    monotonic = const MONOTONIC,
    offsets = const OFFSETS,
    clocks = const CLOCKS,
    coarse = const COARSE,
    processors = const PROCESSORS,
);

// SAFETY: the assembly above defines them.
unsafe extern "C" {
    static caisson_vdso_start: u8;
    static caisson_vdso_clock_gettime: u8;
    static caisson_vdso_gettimeofday: u8;
    static caisson_vdso_time: u8;
    static caisson_vdso_clock_getres: u8;
    static caisson_vdso_getcpu: u8;
    static caisson_vdso_end: u8;
}

/// The instructions, and each function's name and offset in them.
fn code() -> (&'static [u8], [(&'static str, usize); 5]) {
    let start = &raw const caisson_vdso_start;
    let from_start = |symbol: *const u8| symbol.addr() - start.addr();
    let length = from_start(&raw const caisson_vdso_end);
    // SAFETY: both symbols bound one piece of read-only data, in this order.
    let bytes = unsafe { std::slice::from_raw_parts(start, length) };
    let functions = [
        ("clock_gettime", from_start(&raw const caisson_vdso_clock_gettime)),
        ("gettimeofday", from_start(&raw const caisson_vdso_gettimeofday)),
        ("time", from_start(&raw const caisson_vdso_time)),
        ("clock_getres", from_start(&raw const caisson_vdso_clock_getres)),
        ("getcpu", from_start(&raw const caisson_vdso_getcpu)),
    ];
    (bytes, functions)
}

const NAME: &str = "linux-vdso.so.1";
const VERSION: &str = "LINUX_2.6";
const HEADERS: u64 = 64 + 2 * 56;

/// Hash of a name in ELF's first kind of hash table.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0, |h: u32, byte| {
        let h = (h << 4).wrapping_add(byte.into());
        let high = h & 0xf000_0000;
        (h ^ (high >> 24)) & !high
    })
}

/// The image: headers, dynamic section, one bucket of symbols, each with and
/// without `__vdso_`, one version, and the instructions.
pub(super) fn image() -> Vec<u8> {
    let (code, functions) = code();
    let mut names = vec![0_u8];
    let mut place = |name: &str| {
        let at = u32::try_from(names.len()).unwrap_or(0);
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        at
    };
    let (own, version) = (place(NAME), place(VERSION));
    let symbols: Vec<(u32, u8, usize)> = functions
        .iter()
        .flat_map(|(name, at)| {
            const FUNCTION: u8 = 2;
            const WEAK: u8 = 0x20;
            const GLOBAL: u8 = 0x10;
            [
                (place(&format!("__vdso_{name}")), GLOBAL | FUNCTION, *at),
                (place(name), WEAK | FUNCTION, *at),
            ]
        })
        .collect();
    let count = symbols.len() as u64 + 1;
    // Places of the parts, each on a multiple of eight.
    let dynamic = HEADERS;
    let table = dynamic + 10 * 16;
    let hashes = table + count * 24;
    let versions = hashes + (8 + 4 + count * 4).next_multiple_of(8);
    let definitions = versions + (count * 2).next_multiple_of(8);
    let strings = definitions + 2 * 32;
    let text = (strings + names.len() as u64).next_multiple_of(16);
    let end = text + code.len() as u64;

    let mut image = Vec::new();
    let mut words = |at: u64, values: &[u64]| {
        image.resize(usize::try_from(at).unwrap_or(0), 0);
        values.iter().for_each(|v| image.extend_from_slice(&v.to_le_bytes()));
    };
    // 64 bits, little-endian, version 1; a shared object for x86-64; two program
    // headers behind this one, no sections.
    words(0, &[0x0001_0102_464c_457f, 0, 0x0000_0001_003e_0003, text, 64, 0]);
    words(48, &[0x0038_0040_0000_0000, 0x0000_0000_0040_0002]);
    let load = 0x0000_0005_0000_0001;
    words(64, &[load, 0, 0, 0, end, end, 0x1000]);
    let size = 10 * 16;
    words(120, &[0x0000_0004_0000_0002, dynamic, dynamic, dynamic, size, size, 8]);
    let entries = [
        (4, hashes),
        (5, strings),
        (6, table),
        (10, names.len() as u64),
        (11, 24),
        (14, own.into()),
        (0x6fff_fff0, versions),
        (0x6fff_fffc, definitions),
        (0x6fff_fffd, 2),
        (0, 0),
    ];
    words(dynamic, &entries.map(|(tag, value)| [tag, value]).concat());
    words(table + 24, &[]);
    for (index, (name, kind, at)) in (1_u64..).zip(&symbols) {
        // A section that is not "undefined".
        let first = u64::from(*name) | u64::from(*kind) << 32 | 1 << 48;
        words(table + index * 24, &[first, text + *at as u64, 0]);
    }
    let mut halves = |at: u64, values: &[u32]| {
        image.resize(usize::try_from(at).unwrap_or(0), 0);
        values.iter().for_each(|v| image.extend_from_slice(&v.to_le_bytes()));
    };
    let last = u32::try_from(count).unwrap_or(0);
    let chain: Vec<u32> = [1, last, 1, 0].into_iter().chain(2..last).chain([0]).collect();
    halves(hashes, &chain);
    halves(versions, &[]);
    for index in 0..count {
        let version: u16 = if index == 0 { 0 } else { 2 };
        image.extend_from_slice(&version.to_le_bytes());
    }
    let mut halves = |at: u64, values: &[u32]| {
        image.resize(usize::try_from(at).unwrap_or(0), 0);
        values.iter().for_each(|v| image.extend_from_slice(&v.to_le_bytes()));
    };
    // Version 1 of the structure; the base's definition, then the version's.
    halves(definitions, &[0x0001_0001, 0x0001_0001, hash(NAME), 20, 32, own, 0]);
    halves(definitions + 32, &[1, 0x0001_0002, hash(VERSION), 20, 0, version, 0]);
    image.resize(usize::try_from(strings).unwrap_or(0), 0);
    image.extend_from_slice(&names);
    image.resize(usize::try_from(text).unwrap_or(0), 0);
    image.extend_from_slice(code);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That libraries find its functions, and what they answer, is a program's to
    /// see: `tests/programs/clocks.c`.
    #[test]
    fn the_image_fits_into_its_page() {
        let image = image();
        assert!(image.len() as u64 <= VDSO_SIZE, "{}", image.len());
        assert_eq!(image.get(..7), Some(&b"\x7fELF\x02\x01\x01"[..]));
        assert_eq!(hash(VERSION), 0x3ae_75f6);
    }
}
