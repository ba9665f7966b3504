//! ioctl(2) of terminals.

use std::sync::Arc;

use rustix::io::Errno;

use crate::syscalls::Call;
use crate::task::waiter::lock;
use crate::task::{Caps, Pid};

use super::termios::{SHORT, SIZE, SIZE2};
use super::{Size, Tty, registry};

mod request {
    #![allow(missing_docs, reason = "names of ioctl_tty(2)")]
    pub(super) const TCGETS: u32 = 0x5401;
    pub(super) const TCSETS: u32 = 0x5402;
    pub(super) const TCSETSF: u32 = 0x5404;
    pub(super) const TCGETA: u32 = 0x5405;
    pub(super) const TCSETA: u32 = 0x5406;
    pub(super) const TCSETAF: u32 = 0x5408;
    pub(super) const TCSBRK: u32 = 0x5409;
    pub(super) const TCXONC: u32 = 0x540a;
    pub(super) const TCFLSH: u32 = 0x540b;
    pub(super) const TIOCEXCL: u32 = 0x540c;
    pub(super) const TIOCNXCL: u32 = 0x540d;
    pub(super) const TIOCSCTTY: u32 = 0x540e;
    pub(super) const TIOCGPGRP: u32 = 0x540f;
    pub(super) const TIOCSPGRP: u32 = 0x5410;
    pub(super) const TIOCOUTQ: u32 = 0x5411;
    pub(super) const TIOCSTI: u32 = 0x5412;
    pub(super) const TIOCGWINSZ: u32 = 0x5413;
    pub(super) const TIOCSWINSZ: u32 = 0x5414;
    pub(super) const FIONREAD: u32 = 0x541b;
    pub(super) const TIOCPKT: u32 = 0x5420;
    pub(super) const TIOCNOTTY: u32 = 0x5422;
    pub(super) const TIOCSETD: u32 = 0x5423;
    pub(super) const TIOCGETD: u32 = 0x5424;
    pub(super) const TCSBRKP: u32 = 0x5425;
    pub(super) const TIOCGSID: u32 = 0x5429;
    pub(super) const TCGETS2: u32 = 0x802c_542a;
    pub(super) const TCSETS2: u32 = 0x402c_542b;
    pub(super) const TCSETSF2: u32 = 0x402c_542d;
    pub(super) const TIOCGPTN: u32 = 0x8004_5430;
    pub(super) const TIOCSPTLCK: u32 = 0x4004_5431;
    pub(super) const TIOCGDEV: u32 = 0x8004_5432;
    pub(super) const TIOCSIG: u32 = 0x4004_5436;
    pub(super) const TIOCGPKT: u32 = 0x8004_5438;
    pub(super) const TIOCGPTLCK: u32 = 0x8004_5439;
    pub(super) const TIOCGEXCL: u32 = 0x8004_5440;
    pub(super) const TIOCGPTPEER: u32 = 0x5441;
}

fn give(call: &Call<'_>, address: u64, value: u32) -> Result<i64, Errno> {
    call.memory().write(address, &value.to_le_bytes())?;
    Ok(0)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The caller's process: its group and session.
fn caller(call: &Call<'_>) -> Result<(Pid, Pid), Errno> {
    let tree = lock(&call.kernel.tree);
    tree.row(call.thread.process.pid).map(|row| (row.group, row.session)).ok_or(Errno::SRCH)
}

/// How the caller knows a group or session.
fn number(call: &Call<'_>, id: Pid) -> u32 {
    call.thread.process.number_of(id).cast_unsigned()
}

/// Whether a request changes the terminal, which stops processes of the background.
pub(super) fn changes(request: u32) -> bool {
    use request::*;
    matches!(
        request,
        TCSETS..=TCSETSF
            | TCSETA..=TCSETAF
            | TCSETS2..=TCSETSF2
            | TCSBRK
            | TCSBRKP
            | TCXONC
            | TCFLSH
            | TIOCSPGRP
    )
}

/// What both sides have.
fn of_both(tty: &Tty, call: &Call<'_>, request: u32, argument: u64) -> Result<i64, Errno> {
    use request::*;
    let memory = call.memory();
    match request {
        TCGETS | TCGETS2 => {
            let bytes = lock(&tty.state).termios.bytes();
            let size = if request == TCGETS { SIZE } else { SIZE2 };
            memory.write(argument, bytes.get(..size).unwrap_or_default())?;
        }
        TCGETA => {
            let bytes = lock(&tty.state).termios.short_bytes();
            memory.write(argument, &bytes)?;
        }
        TCSETS..=TCSETSF | TCSETA..=TCSETAF | TCSETS2..=TCSETSF2 => {
            let short = matches!(request, TCSETA..=TCSETAF);
            let size = match request {
                TCSETS2.. => SIZE2,
                _ if short => SHORT,
                _ => SIZE,
            };
            let mut bytes = vec![0; size];
            memory.read(argument, &mut bytes)?;
            let mut state = lock(&tty.state);
            if short {
                bytes = state.termios.with_short(&bytes);
            }
            let new = state.termios.changed(&bytes);
            if matches!(request, TCSETSF | TCSETAF | TCSETSF2) {
                state.line.flush_input();
            }
            if new.is_canonical() != state.termios.is_canonical() {
                state.line.switch();
            }
            if new.input & super::termios::input::IXON == 0 {
                state.line.stopped = false;
            }
            state.termios = new;
            drop(state);
            tty.changed.wake();
        }
        TIOCGWINSZ => {
            let size = lock(&tty.state).size;
            let bytes: Vec<u8> = size.iter().flat_map(|part| part.to_le_bytes()).collect();
            memory.write(argument, &bytes)?;
        }
        TIOCSWINSZ => {
            let bytes: [u8; 8] = memory.read_array(argument)?;
            let mut parts =
                bytes.chunks_exact(2).map(|p| p.try_into().map_or(0, u16::from_le_bytes));
            let size: Size = std::array::from_fn(|_| parts.next().unwrap_or(0));
            tty.resize(size);
        }
        TCFLSH => {
            let mut state = lock(&tty.state);
            match call.arg(2) {
                0 => state.line.flush_input(),
                1 => state.line.flush_output(),
                2 => {
                    state.line.flush_input();
                    state.line.flush_output();
                }
                _ => return Err(Errno::INVAL),
            }
            drop(state);
            tty.changed.wake();
        }
        // What is written is there at once: a break is nothing to a pseudo-terminal.
        TCSBRK | TCSBRKP => {}
        // There is one line discipline.
        TIOCSETD => {
            if call.memory().read_u32(argument)? != 0 {
                return Err(Errno::INVAL);
            }
        }
        TIOCGETD => return give(call, argument, 0),
        TIOCEXCL | TIOCNXCL => lock(&tty.state).exclusive = request == TIOCEXCL,
        TIOCGPGRP => {
            let foreground = lock(&tty.state).foreground.unwrap_or(0);
            return give(call, argument, number(call, foreground));
        }
        TIOCGSID => {
            let session = lock(&tty.state).session.ok_or(Errno::NOTTY)?;
            return give(call, argument, number(call, session));
        }
        TIOCGEXCL => return give(call, argument, lock(&tty.state).exclusive.into()),
        TIOCGDEV => {
            let number = u32::try_from(rustix::fs::makedev(136, tty.number)).unwrap_or(0);
            return give(call, argument, number);
        }
        _ => return Err(Errno::NOTTY),
    }
    Ok(0)
}

/// Of the master.
pub(super) fn of_master(
    tty: &Arc<Tty>,
    call: &Call<'_>,
    request: u32,
    argument: u64,
) -> Result<i64, Errno> {
    use request::*;
    let memory = call.memory();
    match request {
        TIOCGPTN => give(call, argument, tty.number),
        TIOCSPTLCK => {
            let locked = memory.read_u32(argument)? != 0;
            lock(&tty.state).locked = locked;
            Ok(0)
        }
        TIOCGPTLCK => give(call, argument, lock(&tty.state).locked.into()),
        TIOCGPTPEER => {
            registry::open_peer(call, tty, u32::try_from(argument).map_err(|_| Errno::INVAL)?)
        }
        TIOCPKT => {
            let packet = memory.read_u32(argument)? != 0;
            lock(&tty.state).packet = packet;
            Ok(0)
        }
        TIOCGPKT => give(call, argument, lock(&tty.state).packet.into()),
        TIOCSIG => {
            let signal = i32::try_from(argument).map_err(|_| Errno::INVAL)?;
            if ![2, 3, 20].contains(&signal) {
                return Err(Errno::INVAL);
            }
            let foreground = lock(&tty.state).foreground;
            if let Some(group) = foreground {
                crate::task::signal_group(call.kernel, group, signal);
            }
            Ok(0)
        }
        FIONREAD => give(call, argument, count(lock(&tty.state).line.output_waiting())),
        TIOCOUTQ => give(call, argument, 0),
        _ => of_both(tty, call, request, argument),
    }
}

/// The caller's session, whose controlling terminal this must be (ENOTTY).
fn own_session(tty: &Tty, call: &Call<'_>) -> Result<i32, Errno> {
    let (_, session) = caller(call)?;
    if lock(&tty.state).session == Some(session) { Ok(session) } else { Err(Errno::NOTTY) }
}

/// Of the slave.
pub(super) fn of_slave(
    tty: &Arc<Tty>,
    call: &Call<'_>,
    request: u32,
    argument: u64,
) -> Result<i64, Errno> {
    use request::*;
    let memory = call.memory();
    match request {
        FIONREAD => {
            let state = lock(&tty.state);
            let waiting = count(state.line.readable(&state.termios));
            drop(state);
            give(call, argument, waiting)
        }
        TIOCOUTQ => give(call, argument, count(lock(&tty.state).line.output_waiting())),
        TCXONC => {
            let mut state = lock(&tty.state);
            match argument {
                0 => state.line.stopped = true,
                1 => state.line.stopped = false,
                2 | 3 => {}
                _ => return Err(Errno::INVAL),
            }
            drop(state);
            tty.changed.wake();
            Ok(0)
        }
        TIOCGPTPEER => Err(Errno::IO),
        TIOCSCTTY => {
            let able = lock(&call.thread.credentials).can(Caps::SYS_ADMIN);
            let force = argument == 1 && able;
            call.kernel.terminals.control(call.kernel, tty, call.thread.process.pid, force)?;
            Ok(0)
        }
        TIOCNOTTY => {
            let session = own_session(tty, call)?;
            if session == call.thread.process.pid {
                call.kernel.terminals.give_up(call.kernel, session, false);
            }
            Ok(0)
        }
        TIOCSPGRP => {
            let group = call.thread.process.id_of(memory.read_u32(argument)?.cast_signed());
            let session = own_session(tty, call)?;
            if group < 0 {
                return Err(Errno::INVAL);
            }
            let its = {
                let tree = lock(&call.kernel.tree);
                tree.rows().find(|(_, row)| row.group == group).map(|(_, row)| row.session)
            };
            if its.ok_or(Errno::SRCH)? != session {
                return Err(Errno::PERM);
            }
            lock(&tty.state).foreground = Some(group);
            Ok(0)
        }
        TIOCGPGRP | TIOCGSID => {
            own_session(tty, call)?;
            of_both(tty, call, request, argument)
        }
        TIOCSTI => {
            let byte: [u8; 1] = memory.read_array(argument)?;
            let (_, session) = caller(call)?;
            let own = lock(&tty.state).session == Some(session);
            let able = lock(&call.thread.credentials).can(Caps::SYS_ADMIN);
            if !own && !able {
                return Err(Errno::PERM);
            }
            tty.receive(&byte);
            Ok(0)
        }
        _ => of_both(tty, call, request, argument),
    }
}
