//! Tests of inboxes.

use super::*;

fn packet(text: &str) -> Packet {
    Packet { bytes: text.as_bytes().to_vec(), ..Packet::default() }
}

fn text(received: &Received) -> String {
    let parts = received.pieces.iter().map(|(bytes, start)| &bytes[*start..]);
    String::from_utf8(parts.collect::<Vec<_>>().concat()).unwrap()
}

#[test]
fn a_stream_has_no_borders_and_datagrams_have() {
    let inbox = Inbox::new(10_000);
    assert_eq!(inbox.stream(9, false, false).err(), Some(Errno::AGAIN));
    for part in ["abc", "def"] {
        inbox.push(&mut packet(part), false).unwrap();
    }
    assert_eq!(text(&inbox.stream(4, true, false).unwrap()), "abcd");
    assert_eq!(text(&inbox.stream(4, false, false).unwrap()), "abcd");
    assert_eq!(text(&inbox.stream(40, false, false).unwrap()), "ef");
    for part in ["abc", "def"] {
        inbox.push(&mut packet(part), false).unwrap();
    }
    let first = inbox.datagram(2, false).unwrap();
    assert_eq!((text(&first).as_str(), first.full), ("ab", 3));
    assert_eq!(text(&inbox.datagram(9, false).unwrap()), "def");
    inbox.shut();
    assert_eq!(inbox.datagram(9, false).unwrap().length, 0);
    assert_eq!(inbox.push(&mut packet("x"), false), Err(Errno::PIPE));
}

#[test]
fn empty_packets_take_room_too() {
    let inbox = Inbox::new(10_000);
    let mut taken = 0;
    while inbox.push(&mut packet(""), false).is_ok() {
        taken += 1;
    }
    assert!(taken < 100 && !inbox.has_room());
    while inbox.datagram(1, false).is_ok() {}
    assert!(inbox.has_room());
}

#[test]
fn what_is_full_is_enough_however_little_was_asked_for() {
    let inbox = Inbox::new(10_000);
    inbox.set_low_water(9_000);
    while inbox.has_room() {
        assert!(!inbox.is_readable() && !inbox.has_enough(9_000));
        inbox.take_in(b"x".to_vec()).unwrap();
    }
    assert!(inbox.is_readable() && inbox.has_enough(9_000));
    inbox.stream(9_000, false, false).unwrap();
    assert!(!inbox.is_readable() && !inbox.has_enough(9_000));
}

#[test]
fn room_by_a_mark_that_is_passed_is_told() {
    use crate::task::waiter::{Waiter, Woken};
    let inbox = Inbox::new(1000);
    inbox.push_urgent(b'x');
    assert!(!inbox.has_room());
    let waiter = Arc::new(Waiter::default());
    inbox.room.join(&waiter);
    assert_eq!(inbox.stream(9, false, false).err(), Some(Errno::AGAIN));
    assert_eq!(waiter.wait(Some(std::time::Instant::now())), Woken::Called);
}

#[test]
fn what_did_not_arrive_comes_back_as_it_was() {
    let inbox = Inbox::new(10_000);
    let from = |user| Sender { user, ..Sender::default() };
    for (text, user) in [("abcdef", 1), ("ghi", 2)] {
        inbox.push(&mut Packet { sender: from(user), ..packet(text) }, false).unwrap();
    }
    let used = lock(&inbox.state).used;
    for room in 1..6 {
        let received = inbox.stream(room, false, false).unwrap();
        assert_eq!(inbox.take_back(received, 0, false), 0);
        let state = lock(&inbox.state);
        assert_eq!((state.packets.len(), state.used, state.taken), (2, used, 0), "{room}");
    }
    // Of two senders each piece is its own's again.
    let received = inbox.stream(8, false, false).unwrap();
    assert_eq!(inbox.take_back(received, 0, false), 0);
    let first = inbox.stream(9, false, true).unwrap();
    assert_eq!((text(&first).as_str(), first.sender), ("abcdef", Some(from(1))));
    let received = inbox.stream(9, false, true).unwrap();
    assert_eq!((text(&received).as_str(), received.sender), ("ghi", Some(from(2))));
    // What arrived does not come back.
    assert_eq!(inbox.take_back(first, 1, false), 6);
    assert_eq!(inbox.stream(9, false, false).err(), Some(Errno::AGAIN));
}
