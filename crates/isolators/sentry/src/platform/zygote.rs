//! The first stub process: an empty address space behind the filter, of which
//! every other one is a copy. It never runs guest code.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use caisson_sys::seccomp::SockFilter;
use rustix::io::Errno;

use super::clock::{Clock, Page};
use super::fast;
use super::listener::Listener;
use super::post;
use super::process::{HostPid, HostTid, last_errno};
use super::stub::{BASE, CODE, DONE_ADDRESS, RESUME_IP, Slot, code};
use super::vdso;

/// Why no guest can run here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A step of this process's.
    #[error("start the first stub process: {step}: {errno}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the host said.
        errno: Errno,
    },
    /// The stub process ended while it prepared itself.
    #[error("the first stub process ended at step {0} with error {1} (see platform/zygote.rs)")]
    Ended(i32, i32),
    /// The processor's state is larger than a slot.
    #[error(
        "signal frames of this processor take {0} bytes, more than the stub's stacks hold: use \
         the native isolator here"
    )]
    Frames(u64),
}

fn failed(step: &'static str) -> StartError {
    StartError::Step { step, errno: last_errno() }
}

const STACK: usize = 64 << 10;

/// What the new process needs, prepared before it is made.
struct Plan {
    filter: Vec<SockFilter>,
    code: Vec<u8>,
    /// The vDSO, and the descriptor of its parameters.
    image: Vec<u8>,
    parameters: OwnedFd,
    /// The process, or minus an error.
    pid: AtomicI32,
    /// In a page that the stub shares: set once the filter is there.
    ready: *const AtomicI32,
}

/// What [`start`] made.
#[derive(Debug)]
pub struct Started {
    /// Where guests report.
    pub listener: Listener,
    /// The first stub process.
    pub process: HostPid,
    /// Its thread.
    pub thread: HostTid,
    /// The clocks that guests read.
    pub clock: Clock,
}

/// Makes the page of the clocks' parameters. Nobody else can ever write it, by
/// whatever mapping.
fn parameters() -> Result<(OwnedFd, &'static Page), StartError> {
    const SIZE: usize = 4096;
    let step = |step| move |errno| StartError::Step { step, errno };
    use rustix::fs::{MemfdFlags, SealFlags};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd =
        rustix::fs::memfd_create("vvar", flags).map_err(step("make the page of the clocks"))?;
    rustix::fs::ftruncate(&fd, SIZE as u64).map_err(step("size the page of the clocks"))?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let (at, raw) = (std::ptr::null_mut(), fd.as_raw_fd());
    // SAFETY: a new mapping, wherever the kernel likes.
    let at = unsafe { libc::mmap(at, SIZE, protection, libc::MAP_SHARED, raw, 0) };
    if at == libc::MAP_FAILED {
        return Err(failed("map the page of the clocks"));
    }
    let seals = SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&fd, seals).map_err(step("seal the page of the clocks"))?;
    // SAFETY: the mapping is never undone, larger than the type, and all zeros,
    // which is a valid value; only atomics change.
    Ok((fd, unsafe { &*at.cast::<Page>() }))
}

/// Starts it. `counter` says whether the host keeps time by the processor's
/// counter. The process must have a single thread, and be the first of a PID
/// namespace if stubs are to die with it.
///
/// # Errors
/// [`StartError`].
pub fn start(counter: bool) -> Result<Started, StartError> {
    // SAFETY: asks for a number.
    let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    if frame > Slot(0).stack().1 - 1024 {
        return Err(StartError::Frames(frame));
    }
    // The stub's copy of the stack is its own; only `ready` is shared.
    let stack = new_mapping(STACK, libc::MAP_PRIVATE).ok_or_else(|| failed("map a stack"))?;
    let Some(shared) = new_mapping(4096, libc::MAP_SHARED) else {
        return Err(failed("map a page"));
    };
    let filter = super::filter::program();
    let ready = shared.cast_const().cast();
    // On the heap: the stub maps over places where this thread's stack can be.
    let (parameters, page) = parameters()?;
    let (image, pid) = (vdso::image(), AtomicI32::new(0));
    let code = instructions(fast::possible());
    let plan = Box::new(Plan { filter, code, image, parameters, pid, ready });
    // The helper shares this process's memory, and so has no restartable
    // sequence registered; neither has its copy, the stub.
    let helper_stack = stack.wrapping_byte_add(STACK);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    let argument = (&raw const *plan).cast_mut().cast();
    // SAFETY: `fork_stub` runs on a stack of its own while this thread waits for
    // its end (CLONE_VFORK); `plan` lives that long.
    let helper = unsafe { libc::clone(fork_stub, helper_stack, flags, argument) };
    if helper < 0 {
        return Err(failed("clone"));
    }
    // SAFETY: a null status is allowed.
    unsafe { libc::waitpid(helper, std::ptr::null_mut(), libc::__WALL) };
    let pid = plan.pid.load(Ordering::SeqCst);
    let unmap = || {
        // SAFETY: the mappings made above, which nobody uses any more.
        unsafe {
            libc::munmap(stack, STACK);
            libc::munmap(shared, 4096);
        }
    };
    if pid <= 0 {
        unmap();
        return Err(StartError::Step { step: "fork", errno: Errno::from_raw_os_error(-pid) });
    }
    let listener = take_listener(pid, &plan);
    unmap();
    Ok(Started {
        listener: Listener::new(listener?),
        process: HostPid(pid),
        thread: HostTid(pid),
        clock: Clock::new(page, counter),
    })
}

/// The page of instructions: the stub's, and behind it what call sites jump to.
fn instructions(bases: bool) -> Vec<u8> {
    const NOTHING: u8 = 0x90;
    let mut page = code().to_vec();
    if !bases && let Some(part) = page.get_mut(BASE.0..BASE.1) {
        part.fill(NOTHING);
    }
    page.resize(fast::OFFSET, 0xcc);
    page.extend_from_slice(fast::code());
    page.resize(post::OFFSET, 0xcc);
    page.extend_from_slice(post::code());
    page.resize(post::TABLE_OFFSET, 0xcc);
    page.extend_from_slice(&super::postable::TABLE);
    page
}

fn new_mapping(length: usize, kind: libc::c_int) -> Option<*mut libc::c_void> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = kind | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, wherever the kernel likes.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    (at != libc::MAP_FAILED).then_some(at)
}

/// The stub closes all it has, so its filter's descriptor is number 0.
fn take_listener(pid: i32, plan: &Plan) -> Result<OwnedFd, StartError> {
    // SAFETY: takes numbers only.
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let handle = i32::try_from(handle).unwrap_or(-1);
    if handle < 0 {
        return Err(failed("pidfd_open"));
    }
    // SAFETY: pidfd_open returned it, nobody else has it.
    let handle = unsafe { OwnedFd::from_raw_fd(handle) };
    loop {
        let mut poll = libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one `pollfd`. Ends at once if the stub has ended.
        let ended = unsafe { libc::poll(&raw mut poll, 1, 0) };
        if ended > 0 {
            let mut status = 0;
            // SAFETY: writes one integer.
            unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
            // SAFETY: as below.
            let errno = -unsafe { &*plan.ready }.load(Ordering::SeqCst);
            return Err(StartError::Ended(libc::WEXITSTATUS(status), errno));
        }
        // SAFETY: the mapping is there until `start` has this function's answer.
        if unsafe { &*plan.ready }.load(Ordering::SeqCst) > 0 {
            // SAFETY: takes numbers only.
            let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, handle.as_raw_fd(), 0, 0) };
            let fd = i32::try_from(fd).unwrap_or(-1);
            if fd < 0 {
                return Err(failed("pidfd_getfd"));
            }
            // SAFETY: pidfd_getfd returned it, nobody else has it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        std::thread::sleep(std::time::Duration::from_micros(20));
    }
}

/// Runs in the helper: forks the stub as a child of the caller.
extern "C" fn fork_stub(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `start` passes its plan, which outlives this.
    let plan = unsafe { &*argument.cast::<Plan>() };
    let flags = libc::CLONE_PARENT;
    // SAFETY: a fork; the child goes on here with its own copy of everything.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        become_stub(plan);
    }
    let pid = if pid < 0 { -last_errno().raw_os_error() } else { i32::try_from(pid).unwrap_or(0) };
    plan.pid.store(pid, Ordering::SeqCst);
    0
}

#[repr(C)]
struct KernelAction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

/// Makes this process a stub. Each step has a number, which is its exit status
/// if it fails.
fn become_stub(plan: &Plan) -> ! {
    let fail = |step: i32| -> ! {
        // SAFETY: ends the process.
        unsafe { libc::_exit(step) }
    };
    let (slots, length) = Slot::range_of_all();
    let fixed = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let read_write = libc::PROT_READ | libc::PROT_WRITE;
    let size = |length: u64| usize::try_from(length).unwrap_or(0);
    let at = |address: u64| std::ptr::without_provenance_mut::<libc::c_void>(size(address));
    // SAFETY: maps over what this copy of the process does not use: it runs on
    // the stack of `plan`, which lies below. It never returns to its caller.
    unsafe {
        if libc::mmap(at(CODE), 4096, read_write, fixed, -1, 0) == libc::MAP_FAILED {
            fail(1);
        }
        if libc::mmap(at(slots), size(length), read_write, fixed, -1, 0) == libc::MAP_FAILED {
            fail(2);
        }
        std::ptr::copy_nonoverlapping(plan.code.as_ptr(), at(CODE).cast(), plan.code.len());
        if libc::mprotect(at(CODE), 4096, libc::PROT_READ | libc::PROT_EXEC) != 0 {
            fail(3);
        }
    }
    let (data, image) = (at(vdso::DATA), at(vdso::VDSO));
    let executable = libc::PROT_READ | libc::PROT_EXEC;
    let shared = libc::MAP_SHARED | libc::MAP_FIXED;
    let length = size(vdso::VDSO_SIZE);
    if plan.image.len() > length {
        fail(13);
    }
    // SAFETY: as above; the image fits.
    unsafe {
        let fd = plan.parameters.as_raw_fd();
        if libc::mmap(data, 4096, libc::PROT_READ, shared, fd, 0) == libc::MAP_FAILED {
            fail(14);
        }
        if libc::mmap(image, length, read_write, fixed, -1, 0) == libc::MAP_FAILED {
            fail(15);
        }
        std::ptr::copy_nonoverlapping(plan.image.as_ptr(), image.cast(), plan.image.len());
        if libc::mprotect(image, length, executable) != 0 {
            fail(16);
        }
    }
    let (base, room) = Slot(0).stack();
    let stack = libc::stack_t { ss_sp: at(base), ss_flags: 0, ss_size: size(room) };
    // SAFETY: the slot was just mapped.
    if unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) } != 0 {
        fail(4);
    }
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART | 0x0400_0000;
        let action = KernelAction {
            handler: CODE,
            flags: u64::from(flags.cast_unsigned()),
            // The handler never returns to it.
            restorer: RESUME_IP,
            mask: u64::MAX,
        };
        // SAFETY: a `struct sigaction` of the kernel; no guest code runs yet.
        let set = unsafe {
            let action = &raw const action;
            libc::syscall(libc::SYS_rt_sigaction, signal, action, std::ptr::null::<u8>(), 8)
        };
        if set != 0 {
            fail(5);
        }
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let mask = 0_u64;
    // SAFETY: numbers, and two structures that the kernel reads.
    unsafe {
        // Signals of the terminal are the sentry's to pass on.
        libc::setsid();
        // A guest's crash leaves no file on the host.
        if libc::setrlimit(libc::RLIMIT_CORE, &raw const none) != 0 {
            fail(6);
        }
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            fail(7);
        }
        // The sentry reads this process's memory.
        if libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 {
            fail(8);
        }
        let set = libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            std::ptr::null::<u8>(),
            8,
        );
        if set != 0 {
            fail(9);
        }
        if libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) != 0 {
            fail(10);
        }
    }
    let Ok(len) = u16::try_from(plan.filter.len()) else { fail(11) };
    let program = libc::sock_fprog { len, filter: plan.filter.as_ptr().cast_mut().cast() };
    // NEW_LISTENER | WAIT_KILLABLE_RECV: once received, only death interrupts.
    let flags = (1_u64 << 3) | (1 << 5);
    // SAFETY: the kernel copies the program.
    let fd = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    if fd != 0 {
        let errno = last_errno().raw_os_error();
        // SAFETY: this process has the shared mapping, too.
        unsafe { &*plan.ready }.store(-errno, Ordering::SeqCst);
        fail(12);
    }
    // SAFETY: this process has the shared mapping, too.
    unsafe { &*plan.ready }.store(1, Ordering::SeqCst);
    // SAFETY: leaves this code for good: the stub reports and waits.
    unsafe {
        core::arch::asm!(
            "mov rsp, rcx",
            "xor edi, edi",
            "xor esi, esi",
            "xor edx, edx",
            "xor r10d, r10d",
            "xor r8d, r8d",
            "xor r9d, r9d",
            "jmp r11",
            in("rcx") Slot(0).context(),
            in("r11") DONE_ADDRESS,
            options(noreturn),
        )
    }
}
