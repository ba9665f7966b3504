//! Packets in a pipe (`O_DIRECT`): which of its bytes are read together, or not at all.

use std::collections::VecDeque;

/// Bytes of one at most; each has as much room.
pub(super) const LARGEST: usize = 4096;

#[derive(Debug)]
struct Packet {
    /// Bytes of the stream that are before it, and behind the one before.
    before: usize,
    length: usize,
    /// Room that it takes and doesn't fill.
    unfilled: usize,
}

/// Those of a pipe, the first one first.
#[derive(Debug, Default)]
pub(super) struct Packets {
    queue: VecDeque<Packet>,
    /// Bytes up to the end of the last one.
    counted: usize,
    unfilled: usize,
}

impl Packets {
    /// Room that they take and don't fill.
    pub(super) fn unfilled(&self) -> usize {
        self.unfilled
    }

    /// Adds one of `length` bytes behind the `held` ones of the pipe.
    pub(super) fn add(&mut self, held: usize, length: usize) {
        let before = held.saturating_sub(self.counted);
        let unfilled = LARGEST.saturating_sub(length);
        self.counted += before + length;
        self.unfilled += unfilled;
        self.queue.push_back(Packet { before, length, unfilled });
    }

    /// How much a read of `most` bytes gets, and how much is gone then: what of a packet
    /// finds no room is lost.
    pub(super) fn next(&self, most: usize) -> (usize, usize) {
        match self.queue.front() {
            Some(first) if most > first.before => {
                let end = first.before + first.length;
                (most.min(end), end)
            }
            _ => (most, most),
        }
    }

    /// The first `gone` bytes are gone.
    pub(super) fn remove(&mut self, mut gone: usize) {
        while gone > 0
            && let Some(first) = self.queue.front_mut()
        {
            let before = gone.min(first.before);
            let inside = (gone - before).min(first.length);
            first.before -= before;
            first.length -= inside;
            self.counted -= before + inside;
            gone -= before + inside;
            if first.length > 0 {
                return;
            }
            self.unfilled -= first.unfilled;
            self.queue.pop_front();
        }
    }

    /// Bytes are put in front of all.
    pub(super) fn put_before(&mut self, count: usize) {
        if let Some(first) = self.queue.front_mut() {
            first.before += count;
            self.counted += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_one_at_a_time_and_the_stream_between_as_ever() {
        let mut packets = Packets::default();
        packets.add(5, 10);
        packets.add(15, 4096);
        packets.add(4111 + 7, 1);
        assert_eq!(packets.unfilled(), 4086 + 4095);
        assert_eq!(packets.next(5), (5, 5));
        assert_eq!(packets.next(8), (8, 15));
        packets.remove(3);
        assert_eq!(packets.next(100), (12, 12));
        packets.remove(12);
        assert_eq!((packets.next(100), packets.unfilled()), ((100, 4096), 4095));
        packets.remove(4095);
        packets.put_before(2);
        assert_eq!(packets.next(100), (3, 3));
        packets.remove(3 + 7);
        assert_eq!(packets.next(1), (1, 1));
        packets.remove(1);
        assert_eq!((packets.next(9), packets.unfilled()), ((9, 9), 0));
    }
}
