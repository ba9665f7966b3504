//! Sending and receiving several messages by one call.

use super::messages::{HEADER, Message, flag, receive_message, send};
use super::{Call, Failure, Outcome, socket};

/// `struct mmsghdr`: where each one lies.
fn each(call: &Call<'_>) -> impl Iterator<Item = u64> {
    let (base, count) = (call.arg(1), call.uint(2).min(1024));
    (0..u64::from(count)).map(move |index| base.wrapping_add(index * (HEADER + 8)))
}

pub(in super::super) fn sendmmsg(call: &Call<'_>) -> Outcome {
    let (file, socket) = socket(call)?;
    let memory = call.memory();
    let mut done = 0;
    for address in each(call) {
        let message = Message::read(&memory, address).map_err(Failure::from);
        let sent = message.and_then(|m| send(call, (&file, &socket), m, call.uint(3)));
        let count = match sent {
            Ok(count) => u32::try_from(count).unwrap_or(u32::MAX),
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => break,
        };
        memory.write(address.wrapping_add(HEADER), &count.to_le_bytes())?;
        done += 1;
    }
    Ok(done)
}

pub(in super::super) fn recvmmsg(call: &Call<'_>) -> Outcome {
    let (file, socket) = socket(call)?;
    let memory = call.memory();
    let deadline = super::super::time::deadline_at(call, call.arg(4))?;
    let mut flags = call.uint(3);
    let mut done = 0;
    for address in each(call) {
        let received =
            receive_message(call, (&file, &socket), address, flags & !flag::WAIT_FOR_ONE);
        let count = match received {
            Ok(count) => u32::try_from(count).unwrap_or(u32::MAX),
            Err(failure) if done == 0 => return Err(failure),
            Err(_) => break,
        };
        memory.write(address.wrapping_add(HEADER), &count.to_le_bytes())?;
        done += 1;
        if flags & flag::WAIT_FOR_ONE != 0 {
            flags |= flag::DONT_WAIT;
        }
        // As Linux: looked at after each message alone.
        if deadline.is_some_and(|end| std::time::Instant::now() >= end) {
            break;
        }
    }
    Ok(done)
}
