//! ptrace(2): the requests of tracers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use crate::platform::context::Register;
use crate::signal::{Info, MAX};
use crate::task::trace::{self, Kind, Mode, Piece, Stopped, Trace, Tracer, options};
use crate::task::waiter::lock;
use crate::task::{Caps, Status, Thread, exit_process, may_trace};

use super::ptrace_registers as registers;
use super::{Call, Failure, Outcome};

const TRACEME: u64 = 0;
const PEEK: [u64; 2] = [1, 2];
const PEEK_USER: u64 = 3;
const POKE: [u64; 2] = [4, 5];
const POKE_USER: u64 = 6;
const CONT: u64 = 7;
const KILL: u64 = 8;
const SINGLE_STEP: u64 = 9;
const GET_REGS: u64 = 12;
const SET_REGS: u64 = 13;
const GET_FP_REGS: u64 = 14;
const SET_FP_REGS: u64 = 15;
const ATTACH: u64 = 16;
const DETACH: u64 = 17;
const SYSCALL: u64 = 24;
const ARCH_PRCTL: u64 = 30;
const EMULATE: u64 = 31;
const EMULATE_STEP: u64 = 32;
const SET_OPTIONS: u64 = 0x4200;
const GET_EVENT_MESSAGE: u64 = 0x4201;
const GET_SIG_INFO: u64 = 0x4202;
const SET_SIG_INFO: u64 = 0x4203;
const GET_REG_SET: u64 = 0x4204;
const SET_REG_SET: u64 = 0x4205;
const SEIZE: u64 = 0x4206;
const INTERRUPT: u64 = 0x4207;
const LISTEN: u64 = 0x4208;
const PEEK_SIG_INFO: u64 = 0x4209;
const GET_SIG_MASK: u64 = 0x420a;
const SET_SIG_MASK: u64 = 0x420b;
const GET_FILTER: u64 = 0x420c;
const GET_METADATA: u64 = 0x420d;
const GET_SYSCALL_INFO: u64 = 0x420e;

pub(super) fn ptrace(call: &Call<'_>) -> Outcome {
    let (request, tid) = (call.arg(0), call.id_of(call.int(1)));
    let own = call.thread.process.pid;
    if request == TRACEME {
        let parent = lock(&call.kernel.tree).row(own).map_or(0, |row| row.parent);
        let tracer = lock(&call.kernel.tree).row(parent).map(|row| Arc::clone(&row.process));
        let tracer = tracer.ok_or(Errno::PERM)?;
        let (rights, theirs) = (super::identity::who(call), tracer.who());
        // A parent that can do less does not get at what its child can do.
        let may = theirs.can_in(&rights.space, Caps::SYS_PTRACE)
            || (rights.is_beside(&theirs) && theirs.caps.permitted.contains(rights.caps.permitted));
        call.kernel.tracees.any.store(true, Ordering::SeqCst);
        let tracer = Tracer { pid: parent, rights, options: 0, seized: false };
        trace::attach(call.thread, tracer, || may)?;
        super::sites::report_all(call.kernel, &call.thread.process);
        return Ok(0);
    }
    let thread = lock(&call.kernel.tree).thread(tid).cloned().ok_or(Errno::SRCH)?;
    match request {
        ATTACH => attach(call, &thread, 0, false),
        SEIZE => {
            let chosen = u32::try_from(call.arg(3)).map_err(|_| Errno::IO)?;
            if call.arg(2) != 0 || chosen & !options::KNOWN != 0 {
                return Err(Errno::IO.into());
            }
            attach(call, &thread, chosen, true)
        }
        INTERRUPT => interrupt(call, &thread),
        KILL => {
            if lock(&thread.trace).tracer != Some(own) {
                return Err(Errno::SRCH.into());
            }
            exit_process(call.kernel, &thread.process, Status::Killed(9, false));
            Ok(0)
        }
        _ => on_stopped(call, &thread, request),
    }
}

fn attach(call: &Call<'_>, thread: &Arc<Thread>, chosen: u32, seized: bool) -> Outcome {
    let own = call.thread.process.pid;
    let who = super::identity::who(call);
    let may = || may_trace(&who, &thread.process, false);
    if thread.process.pid == own || !may() {
        return Err(Errno::PERM.into());
    }
    call.kernel.tracees.any.store(true, Ordering::SeqCst);
    let tracer = Tracer { pid: own, rights: who.clone(), options: chosen, seized };
    trace::attach_other(call.kernel, thread, tracer, may)?;
    super::sites::report_all(call.kernel, &thread.process);
    Ok(0)
}

fn interrupt(call: &Call<'_>, thread: &Arc<Thread>) -> Outcome {
    let listening = {
        let mut trace = lock(&thread.trace);
        if trace.tracer != Some(call.thread.process.pid) {
            return Err(Errno::SRCH.into());
        }
        if !trace.seized {
            return Err(Errno::IO.into());
        }
        let listening = trace.stop.as_ref().is_some_and(|stop| stop.listening);
        trace.trap |= !listening;
        listening
    };
    if listening {
        trace::listen(call.kernel, thread, true);
    } else {
        thread.interrupt();
    }
    Ok(0)
}

/// Lets a tracee go on.
fn go_on(call: &Call<'_>, trace: &mut Trace, mode: Mode) -> Outcome {
    let signal = i32::try_from(call.arg(3)).ok().filter(|s| (0..=MAX).contains(s));
    trace.go = Some(signal.ok_or(Errno::IO)?);
    trace.mode = mode;
    call.kernel.stops.wake();
    Ok(0)
}

fn on_stopped(call: &Call<'_>, thread: &Arc<Thread>, request: u64) -> Outcome {
    let (address, data) = (call.arg(2), call.arg(3));
    let memory = call.memory();
    let mut trace = lock(&thread.trace);
    if trace.tracer != Some(call.thread.process.pid) || trace.go.is_some() {
        return Err(Errno::SRCH.into());
    }
    let memory_is_seen = trace.sees(&thread.process);
    let stopped = trace.stop.as_mut().filter(|stop| !stop.listening).ok_or(Errno::SRCH)?;
    match request {
        _ if !memory_is_seen && (PEEK.contains(&request) || POKE.contains(&request)) => {
            return Err(Errno::IO.into());
        }
        _ if PEEK.contains(&request) => {
            let mut word = [0; 8];
            let space = thread.space();
            let piece = Piece::Read(&mut word);
            if trace::access(call.kernel, &space, address, piece, Some((thread, stopped))) != 8 {
                return Err(Errno::IO.into());
            }
            memory.write(data, &word)?;
        }
        _ if POKE.contains(&request) => {
            let word = data.to_le_bytes();
            let space = thread.space();
            let piece = Piece::Write(&word);
            if trace::access(call.kernel, &space, address, piece, Some((thread, stopped))) != 8 {
                return Err(Errno::IO.into());
            }
        }
        PEEK_USER => {
            let word = registers::peek(call.kernel, thread, stopped, address)?;
            memory.write(data, &word.to_le_bytes())?;
        }
        POKE_USER => registers::poke(call.kernel, thread, stopped, address, data)?,
        GET_REGS => {
            let bytes = registers::general(call.kernel, thread, stopped)?;
            memory.write(data, &bytes)?;
        }
        SET_REGS => {
            let bytes: [u8; registers::GENERAL] = memory.read_array(data)?;
            registers::set_general(call.kernel, thread, stopped, &bytes)?;
        }
        GET_FP_REGS => memory.write(data, &registers::legacy(thread, stopped)?)?,
        SET_FP_REGS => {
            let bytes: [u8; 512] = memory.read_array(data)?;
            registers::set_extended(thread, stopped, &bytes)?;
        }
        GET_REG_SET | SET_REG_SET => {
            let (base, room) = memory.read_pair(data)?;
            let length = if request == GET_REG_SET {
                let bytes = registers::set_of(call.kernel, thread, stopped, address)?;
                let length = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                memory.write(base, bytes.get(..length).unwrap_or_default())?;
                length
            } else {
                let length = usize::try_from(room).unwrap_or(0).min(1 << 14);
                let mut bytes = vec![0; length];
                memory.read(base, &mut bytes)?;
                registers::change_set(call.kernel, thread, stopped, address, &bytes)?;
                length
            };
            memory.write(data.wrapping_add(8), &(length as u64).to_le_bytes())?;
        }
        GET_SIG_INFO => {
            let info = stopped.info.ok_or(Errno::INVAL)?;
            memory.write(data, info.bytes())?;
        }
        SET_SIG_INFO => {
            let given = Info::from_bytes(memory.read_array(data)?);
            *stopped.info.as_mut().ok_or(Errno::INVAL)? = given;
        }
        GET_SIG_MASK | SET_SIG_MASK => {
            if address != 8 {
                return Err(Errno::INVAL.into());
            }
            if request == GET_SIG_MASK {
                let mask = lock(&thread.signals).mask;
                memory.write(data, &mask.to_le_bytes())?;
            } else {
                let mask = memory.read_u64(data)?;
                lock(&thread.signals).set_mask(mask);
            }
        }
        PEEK_SIG_INFO => return peek_signals(call, thread),
        GET_SYSCALL_INFO => return syscall_info(call, stopped),
        GET_EVENT_MESSAGE => {
            let message = trace.message;
            memory.write(data, &message.to_le_bytes())?;
        }
        SET_OPTIONS => {
            let chosen = u32::try_from(data).ok().filter(|o| o & !options::KNOWN == 0);
            trace.options = chosen.ok_or(Errno::INVAL)?;
        }
        CONT => return go_on(call, &mut trace, Mode::Run),
        SYSCALL => return go_on(call, &mut trace, Mode::Calls),
        SINGLE_STEP => return go_on(call, &mut trace, Mode::Step),
        EMULATE => return go_on(call, &mut trace, Mode::Emulate),
        EMULATE_STEP => return go_on(call, &mut trace, Mode::EmulateStep),
        ARCH_PRCTL => match registers::base_request(data)? {
            (index, true) => trace::set_base(call.kernel, thread, stopped, index, address)?,
            (index, false) => {
                let bases = trace::read_bases(call.kernel, thread, stopped)?;
                let base = bases.get(index).copied().unwrap_or(0);
                memory.write(address, &base.to_le_bytes())?;
            }
        },
        GET_FILTER | GET_METADATA => {
            drop(trace);
            return super::seccomp::told(call, thread, request == GET_METADATA);
        }
        DETACH => {
            let signal = i32::try_from(data).ok().filter(|s| (0..=MAX).contains(s));
            trace::detach(call.kernel, thread, &mut trace, signal.ok_or(Errno::IO)?);
        }
        LISTEN => {
            let stops = Kind::Event(trace::events::STOP);
            if stopped.kind != stops {
                return Err(Errno::IO.into());
            }
            stopped.listening = true;
            drop(trace);
            trace::listen(call.kernel, thread, false);
        }
        _ => return Err(Errno::IO.into()),
    }
    Ok(0)
}

/// Signals that wait for a tracee, or for its process.
fn peek_signals(call: &Call<'_>, thread: &Thread) -> Outcome {
    const SHARED: u32 = 1;
    let memory = call.memory();
    let from = usize::try_from(memory.read_u64(call.arg(2))?).unwrap_or(usize::MAX);
    let flags = memory.read_u32(call.arg(2).wrapping_add(8))?;
    let count = memory.read_u32(call.arg(2).wrapping_add(12))?.cast_signed();
    if flags & !SHARED != 0 || count < 0 {
        return Err(Errno::INVAL.into());
    }
    let all = if flags & SHARED != 0 {
        lock(&thread.process.pending).all()
    } else {
        lock(&thread.signals).pending.all()
    };
    let wanted = all.iter().skip(from).take(usize::try_from(count).unwrap_or(0));
    let mut told = 0;
    for (info, at) in wanted.zip((0..).map(|n: u64| n * 128)) {
        memory.write(call.arg(3).wrapping_add(at), info.bytes())?;
        told += 1;
    }
    Ok(told)
}

fn syscall_info(call: &Call<'_>, stopped: &Stopped) -> Outcome {
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    let context = &stopped.frame.context;
    let (kind, rest): (u8, Vec<u8>) = match stopped.kind {
        Kind::Entry | Kind::Event(trace::events::SECCOMP) => {
            let words = [&[stopped.original][..], &context.args()].concat();
            let mut rest: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            if stopped.kind == Kind::Entry {
                (1, rest)
            } else {
                rest.extend([0; 8]);
                (3, rest)
            }
        }
        Kind::Exit => {
            let value = context.get(Register::Rax);
            let failed = (-4095..0).contains(&value.cast_signed());
            (2, [&value.to_le_bytes()[..], &[u8::from(failed)]].concat())
        }
        _ => (0, Vec::new()),
    };
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(AUDIT_ARCH_X86_64.to_le_bytes());
    bytes.extend(context.get(Register::Rip).to_le_bytes());
    bytes.extend(context.get(Register::Rsp).to_le_bytes());
    bytes.extend(rest);
    let room = usize::try_from(call.arg(2)).unwrap_or(usize::MAX).min(bytes.len());
    let part = bytes.get(..room).unwrap_or_default();
    call.memory().write(call.arg(3), part).map_err(Failure::from)?;
    Ok(i64::try_from(bytes.len()).unwrap_or(0))
}
