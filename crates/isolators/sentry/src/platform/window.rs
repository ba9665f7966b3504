//! What a posted call has to do with its thread's memory goes through the room of its desk
//! (`desks.rs`), as far as it can: the thread brings along what is read, and takes with it what
//! was written. A copy between processes costs more than the call itself.
//!
//! While a call is served by [`through`], accesses to its thread's memory on this thread
//! look here first ([`read`], [`write()`]). What does not fit goes to the memory itself.

use std::cell::Cell;

use super::desks::{Desks, Gift, Piece, ROOM, SharedRoom};
use super::postable::{self, EVENT, Kind};
use super::{HostCall, Slot};

/// What is written to the room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// Nothing may be.
    Nothing,
    /// The first piece, wherever it goes.
    Anything,
    /// This is, or will be, if it is nothing yet; no more than so many bytes may become of it.
    Is(Piece, usize),
    /// Nothing more: the thread copies it from elsewhere.
    Lent(Gift),
}

#[derive(Clone, Copy)]
struct Window {
    /// Which memory it belongs to.
    memory: usize,
    halves: [SharedRoom; 2],
    brought: Option<Piece>,
    output: Output,
}

thread_local! {
    static WINDOW: Cell<Option<Window>> = const { Cell::new(None) };
}

/// Serves a taken call with `f`; the second value is what it has for its thread.
/// `memory` is what [`read`] and [`write()`] are told.
pub(super) fn through<T>(
    desks: &Desks,
    slot: Slot,
    call: &HostCall,
    memory: usize,
    f: impl FnOnce() -> T,
) -> (T, Option<Gift>) {
    let kind = postable::kind(call.number);
    let brings =
        kind.intersects(Kind::DATA | Kind::FIRST_PATH | Kind::SECOND_PATH | Kind::FOURTH_EVENT);
    let [_, address, length, ..] = call.args;
    let output = if kind.contains(Kind::PROBED) {
        Output::Is((address, 0), probed(kind, length))
    } else if kind.contains(Kind::AGAIN) {
        Output::Anything
    } else {
        Output::Nothing
    };
    let brought = brings.then(|| desks.brought(slot)).flatten();
    let halves = desks.room(slot).filter(|_| brought.is_some() || output != Output::Nothing);
    WINDOW.set(halves.map(|halves| Window { memory, halves, brought, output }));
    let result = f();
    let written = WINDOW.take().and_then(|window| match window.output {
        Output::Is(to @ (_, 1..), _) => Some(Gift { to, from: None }),
        Output::Lent(gift) => Some(gift),
        _ => None,
    });
    (result, written)
}

/// How much its thread has looked at, of what the third argument says.
fn probed(kind: Kind, length: u64) -> usize {
    let (count, size) = match kind.contains(Kind::EVENTS) {
        true => (length & u64::from(u32::MAX), EVENT),
        false => (length, 1),
    };
    usize::try_from(count).unwrap_or(usize::MAX).min(ROOM / size) * size
}

/// Where a range lies in a piece.
fn within((start, length): Piece, address: u64, wanted: usize) -> Option<usize> {
    let from = usize::try_from(address.checked_sub(start)?).ok()?;
    (from.checked_add(wanted)? <= length).then_some(from)
}

/// Reads from the window of this thread, if it has all of that; false if it has not.
pub(super) fn read(memory: usize, address: u64, into: &mut [u8]) -> bool {
    let Some(window) = WINDOW.get().filter(|window| window.memory == memory) else { return false };
    let [brought, _] = window.halves;
    let from = window.brought.and_then(|piece| within(piece, address, into.len()));
    from.is_some_and(|from| brought.read(from, into))
}

/// Writes to the window of this thread, if that is its place; false if it is not.
pub(super) fn write(memory: usize, address: u64, from: &[u8]) -> bool {
    let Some(mut window) = WINDOW.get().filter(|window| window.memory == memory) else {
        return false;
    };
    let ((start, length), most) = match window.output {
        Output::Nothing | Output::Lent(_) => return false,
        Output::Anything => ((address, 0), ROOM),
        Output::Is(piece, most) => (piece, most),
    };
    // Without a gap, of which nobody knows what it holds.
    let Some(at) = within((start, most), address, from.len()).filter(|at| *at <= length) else {
        return false;
    };
    let [_, room] = window.halves;
    let done = room.write(at, from);
    if done {
        window.output = Output::Is((start, length.max(at + from.len())), most);
        WINDOW.set(Some(window));
    }
    done
}

/// Whether what is to go to `address` may be lent to the thread whose call is served.
pub(super) fn may_lend(memory: usize, address: u64) -> bool {
    let window = WINDOW.get().filter(|window| window.memory == memory);
    window.is_some_and(|window| match window.output {
        Output::Anything => true,
        Output::Is(piece, _) => piece == (address, 0),
        Output::Nothing | Output::Lent(_) => false,
    })
}

/// The thread whose call is served copies that itself; false if it can't.
pub(super) fn lend(memory: usize, gift: Gift) -> bool {
    let lends = may_lend(memory, gift.to.0);
    if lends {
        let lent = WINDOW.get().map(|window| Window { output: Output::Lent(gift), ..window });
        WINDOW.set(lent);
    }
    lends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u64, args: [u64; 6]) -> HostCall {
        HostCall { number, args }
    }

    #[test]
    fn what_is_brought_is_read_and_nothing_else() {
        let (desks, _fd) = Desks::new().unwrap();
        let slot = Slot(1);
        let [brought, _] = desks.room(slot).unwrap();
        assert!(brought.write(0, b"a text"));
        desks.bring(slot, (0x1000, 6));
        let seen = |number, memory, address, length| {
            let call = call(number, [3, 0x1000, 6, 0, 0, 0]);
            let mut bytes = vec![0; length];
            let read = || read(memory, address, &mut bytes);
            let (read, written) = through(&desks, slot, &call, 7, read);
            assert_eq!(written, None);
            read.then_some(bytes)
        };
        assert_eq!(seen(1, 7, 0x1000, 6).unwrap(), b"a text");
        assert_eq!(seen(1, 7, 0x1002, 4).unwrap(), b"text");
        // More, in front of it, of another memory, for a call that brings nothing.
        for (number, memory, address, length) in
            [(1, 7, 0x1000, 7), (1, 7, 0xfff, 2), (1, 8, 0x1000, 6), (0, 7, 0x1000, 6)]
        {
            assert!(seen(number, memory, address, length).is_none());
        }
        assert!(!read(7, 0x1000, &mut [0]), "it is over");
    }

    #[test]
    fn what_is_written_is_one_piece() {
        let (desks, _fd) = Desks::new().unwrap();
        let slot = Slot(1);
        // pread64, fstat: anywhere; read: where it was looked at.
        for (number, first, there) in [(5, 0x2000, true), (0, 0x2000, false), (0, 0x1000, true)] {
            let call = call(number, [3, 0x1000, 8, 0, 0, 0]);
            let (all, written) = through(&desks, slot, &call, 7, || {
                let one = write(7, first, b"abcd");
                // Behind it, into it; behind a gap; in front of it; of another memory.
                let more = write(7, first + 4, b"ef") && write(7, first + 1, b"B");
                let none =
                    write(7, first + 7, b"x") || write(7, 0xf00, b"x") || write(8, first, b"x");
                (one, more, none)
            });
            assert_eq!(all, (there, there, false));
            assert_eq!(written, there.then_some(Gift { to: (first, 6), from: None }));
            if there {
                let mut bytes = [0; 6];
                let [_, room] = desks.room(slot).unwrap();
                assert!(room.read(0, &mut bytes));
                assert_eq!(&bytes, b"aBcdef");
            }
            // No further than it was looked at.
            let (further, _) = through(&desks, slot, &call, 7, || {
                write(7, first, b"abcd") && write(7, first + 4, b"efghi")
            });
            assert_eq!(further, there && number != 0);
        }
        let long = [1; ROOM + 1];
        let (fits, written) = through(&desks, slot, &call(17, [0; 6]), 7, || write(7, 1, &long));
        assert_eq!((fits, written), (false, None));
        let (fits, _) = through(&desks, slot, &call(8, [0; 6]), 7, || write(7, 1, &[1]));
        assert!(!fits, "lseek writes nothing");
    }

    #[test]
    fn what_is_lent_is_all() {
        let (desks, _fd) = Desks::new().unwrap();
        let gift = |address| Gift { to: (address, 65536), from: Some(0x5000) };
        // pread64: to anywhere; read: to where it was looked at; lseek, write: to nowhere.
        for (number, address, lends) in
            [(17, 0x2000, true), (0, 0x1000, true), (0, 0x2000, false), (8, 0x1000, false)]
        {
            let call = call(number, [3, 0x1000, 65536, 0, 0, 0]);
            let ((lent, more), told) = through(&desks, Slot(1), &call, 7, || {
                let other = lend(8, gift(address));
                let lent = may_lend(7, address) && lend(7, gift(address));
                (lent, other || lent && (write(7, address, b"x") || lend(7, gift(address))))
            });
            assert_eq!((lent, more), (lends, false));
            assert_eq!(told, lends.then_some(gift(address)));
        }
        let call = call(17, [3, 0x1000, 8, 0, 0, 0]);
        let (late, _) =
            through(&desks, Slot(1), &call, 7, || write(7, 0x1000, b"x") && lend(7, gift(0x1000)));
        assert!(!late && !may_lend(7, 0x1000));
    }
}
