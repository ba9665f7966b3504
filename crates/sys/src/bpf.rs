//! `bpf(2)` for cgroup programs: load, attach, query, detach.
//!
//! Layouts are those of `union bpf_attr` in `include/uapi/linux/bpf.h`; the
//! kernel takes any length and treats missing members as zero.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// One instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low four bits, source in the high ones.
    pub registers: u8,
    /// Signed offset of a jump or a memory access.
    pub offset: i16,
    /// Signed immediate.
    pub immediate: i32,
}

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct GetIdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// # Safety
/// `A` is the `repr(C)` prefix of `union bpf_attr` that `command` uses, and
/// every address in it is valid for what the command does with it.
unsafe fn bpf<A>(command: libc::c_int, attr: &mut A) -> Result<libc::c_int, Errno> {
    loop {
        // SAFETY: the caller vouches for `attr`, whose size is passed along.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<A>())
        };
        match libc::c_int::try_from(result) {
            Ok(value) if value >= 0 => return Ok(value),
            // The verifier answers EAGAIN when a signal is pending.
            _ => match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) if command == BPF_PROG_LOAD => {}
                errno => return Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EINVAL))),
            },
        }
    }
}

fn fd_number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// A loaded program of type `BPF_PROG_TYPE_CGROUP_DEVICE` (Linux 4.15). It stays
/// in force while it is attached, even after this descriptor is closed.
#[derive(Debug)]
pub struct DeviceProgram(OwnedFd);

impl DeviceProgram {
    /// Loads a program; it gets a `struct bpf_cgroup_dev_ctx` and returns 1 to
    /// allow, 0 to deny. Errors: EPERM without CAP_BPF or CAP_SYS_ADMIN, EINVAL
    /// or EACCES if the verifier refuses, E2BIG above the kernel's limit of
    /// instructions (1 million; 4096 without privilege).
    pub fn load(instructions: &[Instruction], name: &str) -> Result<DeviceProgram, Errno> {
        let mut prog_name = [0; 16];
        // The last byte stays NUL.
        for (to, from) in prog_name.iter_mut().zip(name.bytes().take(15)) {
            *to = from;
        }
        let mut attr = LoadAttr {
            prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
            insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
            insns: instructions.as_ptr().addr() as u64,
            license: c"Apache-2.0".as_ptr().addr() as u64,
            prog_name,
            ..LoadAttr::default()
        };
        // SAFETY: `insns` points to `insn_cnt` instructions and `license` to a
        // C string; both outlive the call, and the kernel only reads them.
        let fd = unsafe { bpf(BPF_PROG_LOAD, &mut attr) }?;
        // SAFETY: the kernel has just opened this descriptor for us.
        Ok(DeviceProgram(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The attached program with that id. Needs CAP_SYS_ADMIN; ENOENT if it is gone.
    pub fn by_id(id: u32) -> Result<DeviceProgram, Errno> {
        let mut attr = GetIdAttr { id, ..GetIdAttr::default() };
        // SAFETY: the attribute has no addresses.
        let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut attr) }?;
        // SAFETY: the kernel has just opened this descriptor for us.
        Ok(DeviceProgram(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Attaches to a v2 cgroup directory beside other programs; all of them and
    /// those of parents must allow an access. `replace` (Linux 5.6) swaps an
    /// attached program without a gap.
    pub fn attach(
        &self,
        cgroup: BorrowedFd<'_>,
        replace: Option<&DeviceProgram>,
    ) -> Result<(), Errno> {
        let mut attr = AttachAttr {
            target_fd: fd_number(cgroup),
            attach_bpf_fd: fd_number(self.0.as_fd()),
            attach_type: BPF_CGROUP_DEVICE,
            attach_flags: BPF_F_ALLOW_MULTI,
            replace_bpf_fd: 0,
        };
        if let Some(old) = replace {
            attr.attach_flags |= BPF_F_REPLACE;
            attr.replace_bpf_fd = fd_number(old.0.as_fd());
        }
        // SAFETY: the attribute has no addresses.
        unsafe { bpf(BPF_PROG_ATTACH, &mut attr) }.map(|_| ())
    }

    /// Detaches from a v2 cgroup directory.
    pub fn detach(&self, cgroup: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut attr = AttachAttr {
            target_fd: fd_number(cgroup),
            attach_bpf_fd: fd_number(self.0.as_fd()),
            attach_type: BPF_CGROUP_DEVICE,
            ..AttachAttr::default()
        };
        // SAFETY: the attribute has no addresses.
        unsafe { bpf(BPF_PROG_DETACH, &mut attr) }.map(|_| ())
    }
}

/// Ids of the device programs attached to a cgroup itself, not to its parents.
pub fn attached_device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    // The kernel allows 64 programs per cgroup and type (BPF_CGROUP_MAX_PROGS).
    let mut ids = [0_u32; 64];
    let mut attr = QueryAttr {
        target_fd: fd_number(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr().expose_provenance() as u64,
        prog_cnt: 64,
        ..QueryAttr::default()
    };
    // SAFETY: `prog_ids` points to room for `prog_cnt` ids.
    unsafe { bpf(BPF_PROG_QUERY, &mut attr) }?;
    let count = usize::try_from(attr.prog_cnt).unwrap_or(0);
    Ok(ids.iter().take(count).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_the_kernels_layout() {
        assert_eq!(size_of::<Instruction>(), 8);
        assert_eq!(std::mem::offset_of!(LoadAttr, prog_name), 48);
        assert_eq!(std::mem::offset_of!(QueryAttr, prog_ids), 16);
        assert_eq!(std::mem::offset_of!(AttachAttr, replace_bpf_fd), 16);
    }

    /// Needs root.
    #[test]
    fn verifier_takes_a_good_program_and_refuses_a_bad_one() {
        let ret = Instruction { code: 0x95, ..Instruction::default() };
        let allow = Instruction { code: 0xb7, immediate: 1, ..Instruction::default() };
        DeviceProgram::load(&[allow, ret], "caisson_test").unwrap();
        // Returns with register 0 uninitialized.
        assert!(DeviceProgram::load(&[ret], "caisson_test").is_err());
    }
}
