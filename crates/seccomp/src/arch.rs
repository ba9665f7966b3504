//! System call ABIs, and which of them a machine's kernel can run.

use caisson_runtime_spec::SeccompArch;

/// A system call ABI with a number table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86 (i386).
    X86,
    /// 32-bit pointers in 64-bit mode: x86_64 with bit 30 set in the numbers.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI).
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
}

/// Bit that marks x32 calls (`__X32_SYSCALL_BIT`, asm/unistd.h).
pub const X32_BIT: u32 = 1 << 30;

impl Arch {
    /// Every ABI with a number table.
    pub const ALL: [Self; 6] =
        [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm, Self::Riscv64];

    /// The value of `seccomp_data.arch` (linux/audit.h); x32 shares that of
    /// x86_64.
    #[must_use]
    pub const fn audit_arch(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
        }
    }

    /// True if argument conditions compare 64 bits; libseccomp compares only
    /// the low half on ABIs with 32-bit registers or pointers.
    #[must_use]
    pub const fn compares_64_bits(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64 | Self::Riscv64)
    }

    pub(crate) const fn of(name: SeccompArch) -> Option<Self> {
        match name {
            SeccompArch::X86_64 => Some(Self::X86_64),
            SeccompArch::X86 => Some(Self::X86),
            SeccompArch::X32 => Some(Self::X32),
            SeccompArch::Aarch64 => Some(Self::Aarch64),
            SeccompArch::Arm => Some(Self::Arm),
            SeccompArch::Riscv64 => Some(Self::Riscv64),
            _ => None,
        }
    }
}

/// A family of CPUs that filters can be compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// Runs x86_64, x86 and x32.
    X86_64,
    /// Runs aarch64 and arm.
    Aarch64,
    /// Runs riscv64.
    Riscv64,
}

impl Machine {
    /// The machine that this program was built for; `None` if filters can't
    /// be compiled for it.
    #[must_use]
    pub const fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
            Some(Self::Aarch64)
        } else if cfg!(target_arch = "riscv64") {
            Some(Self::Riscv64)
        } else {
            None
        }
    }

    /// The ABIs that its kernels can offer, the native one first.
    #[must_use]
    pub const fn arches(self) -> &'static [Arch] {
        match self {
            Self::X86_64 => &[Arch::X86_64, Arch::X86, Arch::X32],
            Self::Aarch64 => &[Arch::Aarch64, Arch::Arm],
            Self::Riscv64 => &[Arch::Riscv64],
        }
    }
}
