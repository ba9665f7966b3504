//! Segments of TCP that go out one after another go to the host as one piece, which it cuts
//! up again where it must (generic segmentation offload): a call for each costs more than all
//! else that is done for it.
//!
//! What a piece begins with is `struct virtio_net_hdr` (packet(7), `PACKET_VNET_HDR`).

/// Bytes of `struct virtio_net_hdr`.
pub(super) const DESCRIPTION: usize = 10;
/// Header of Ethernet.
pub(super) const ETHERNET: usize = 14;
/// What an IP packet can have, and its link's header.
const LONGEST: usize = 65_535 + ETHERNET;
/// Connections whose segments are put together at the same time.
const MOST: usize = 64;

const ACK: u8 = 0x10;
const PUSH: u8 = 8;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
const NEEDS_SUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4`
const TCP4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV6`
const TCP6: u8 = 4;

/// Where things are in a frame of TCP with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    is_v6: bool,
    /// Where TCP's header begins.
    tcp: usize,
    /// Where the data begins.
    data: usize,
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

pub(super) fn set(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(room) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *room = value.to_be_bytes();
    }
}

impl Form {
    /// Of a frame that may be put together with others.
    fn of(frame: &[u8]) -> Option<Self> {
        let (is_v6, tcp, end) = match word(frame, 12)? {
            // Without options, whole.
            0x0800 if *frame.get(14)? == 0x45 && *frame.get(23)? == 6 => {
                let whole = word(frame, 20)? & 0x3fff == 0;
                (false, 34, whole.then_some(ETHERNET + usize::from(word(frame, 16)?))?)
            }
            0x86dd if *frame.get(20)? == 6 => (true, 54, 54 + usize::from(word(frame, 18)?)),
            _ => return None,
        };
        let data = tcp + usize::from(*frame.get(tcp + 12)? >> 4) * 4;
        let plain = *frame.get(tcp + 13)? & !PUSH == ACK;
        (plain && end == frame.len() && data > tcp + 19 && data < end).then_some(Form {
            is_v6,
            tcp,
            data,
        })
    }

    /// The header's parts that have to be the same: all but lengths, numbers and sums.
    fn same(self, one: &[u8], other: &[u8]) -> bool {
        let ip = match self.is_v6 {
            // Length, then all from the next header on.
            true => [ETHERNET + 4..ETHERNET + 4, ETHERNET + 6..self.tcp],
            // Length and identification, then the sum.
            false => [ETHERNET + 6..ETHERNET + 10, ETHERNET + 12..self.tcp],
        };
        let [first, second] = ip;
        let tcp = self.tcp;
        // Ports; what is acknowledged; the window; urgent data and options.
        let parts = [0..ETHERNET + 2, first, second, tcp..tcp + 4, tcp + 8..tcp + 13];
        let rest = [tcp + 14..tcp + 16, tcp + 18..self.data];
        parts.into_iter().chain(rest).all(|part| one.get(part.clone()) == other.get(part))
    }
}

/// Segments of one connection.
struct Train {
    /// The description, and the frame.
    bytes: Vec<u8>,
    form: Form,
    /// Bytes of data in each but the last.
    each: usize,
    /// The number of the byte behind.
    next: u32,
}

impl Train {
    fn frame(&self) -> &[u8] {
        self.bytes.get(DESCRIPTION..).unwrap_or_default()
    }

    /// Whether a further frame is the next part, and goes in.
    fn takes(&self, frame: &[u8], form: Form) -> bool {
        let data = frame.len().saturating_sub(form.data);
        form == self.form
            && data <= self.each
            && self.bytes.len() + data <= LONGEST + DESCRIPTION
            && long(frame, form.tcp + 4) == Some(self.next)
            && form.same(self.frame(), frame)
    }

    /// What the host is to know of it: nothing of a single frame.
    fn describe(&mut self) {
        let Form { is_v6, tcp, data } = self.form;
        if self.frame().len() - data <= self.each {
            return;
        }
        let frame = self.bytes.get_mut(DESCRIPTION..).unwrap_or_default();
        let length = |from: usize| u16::try_from(frame.len() - from).unwrap_or(u16::MAX);
        let (of_tcp, of_ip) = (length(tcp), length(ETHERNET));
        let addresses = if is_v6 { 22..54 } else { 26..34 };
        let sum = folded(frame.get(addresses).unwrap_or_default(), u32::from(of_tcp) + 6);
        // The host completes what begins like this.
        set(frame, tcp + 16, sum);
        if is_v6 {
            set(frame, 18, of_tcp);
        } else {
            set(frame, 16, of_ip);
            set(frame, 24, 0);
            let sum = !folded(frame.get(ETHERNET..tcp).unwrap_or_default(), 0);
            set(frame, 24, sum);
        }
        let [header, each, tcp] = [data, self.each, tcp].map(|n| u16::try_from(n).unwrap_or(0));
        let words = [header, each, tcp, 16].map(u16::to_ne_bytes).concat();
        let kind = [NEEDS_SUM, if is_v6 { TCP6 } else { TCP4 }];
        let description = kind.into_iter().chain(words);
        self.bytes.iter_mut().zip(description).for_each(|(room, byte)| *room = byte);
    }
}

/// The sum of words that TCP and IP take (RFC 1071), not yet inverted.
pub(super) fn folded(bytes: &[u8], first: u32) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum = words.fold(first, u32::wrapping_add);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

/// What is on its way to the host.
#[derive(Default)]
pub(super) struct Trains(Vec<Train>);

impl Trains {
    /// A frame is to go, behind room for a description. What goes to the host at once is
    /// given to `send`.
    pub(super) fn put(&mut self, bytes: Vec<u8>, mut send: impl FnMut(&[u8])) {
        let frame = bytes.get(DESCRIPTION..).unwrap_or_default();
        let Some(form) = Form::of(frame) else {
            // It does not overtake data of its connection.
            self.send_all(&mut send);
            return send(&bytes);
        };
        let data = frame.get(form.data..).unwrap_or_default();
        if let Some(at) = self.0.iter().position(|train| train.takes(frame, form)) {
            let Some(train) = self.0.get_mut(at) else { return };
            train.bytes.extend_from_slice(data);
            train.next = train.next.wrapping_add(u32::try_from(data.len()).unwrap_or(0));
            let pushed = frame.get(form.tcp + 13).is_some_and(|flags| flags & PUSH != 0);
            if let Some(flags) = train.bytes.get_mut(DESCRIPTION + form.tcp + 13) {
                *flags |= if pushed { PUSH } else { 0 };
            }
            if data.len() < train.each {
                let train = self.0.remove(at);
                Self::send(train, &mut send);
            }
            return;
        }
        // Another piece of the same connection is not overtaken.
        let ports = frame.get(form.tcp..form.tcp + 4);
        let is_same =
            |train: &Train| train.frame().get(train.form.tcp..train.form.tcp + 4) == ports;
        if let Some(at) = self.0.iter().position(is_same) {
            Self::send(self.0.remove(at), &mut send);
        } else if self.0.len() >= MOST {
            Self::send(self.0.remove(0), &mut send);
        }
        let from = long(frame, form.tcp + 4).unwrap_or(0);
        let each = data.len();
        let next = from.wrapping_add(u32::try_from(each).unwrap_or(0));
        self.0.push(Train { bytes, form, each, next });
    }

    /// All that was put there goes.
    pub(super) fn send_all(&mut self, mut send: impl FnMut(&[u8])) {
        self.0.drain(..).for_each(|train| Self::send(train, &mut send));
    }

    fn send(mut train: Train, mut send: impl FnMut(&[u8])) {
        train.describe();
        send(&train.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of IPv4: its port, number, flags and bytes of data.
    fn frame(port: u8, number: u32, flags: u8, data: usize) -> Vec<u8> {
        let mut bytes = vec![0; DESCRIPTION + 54 + data];
        let frame = &mut bytes[DESCRIPTION..];
        frame[12] = 8;
        frame[14] = 0x45;
        set(frame, 16, u16::try_from(40 + data).unwrap());
        (frame[22], frame[23]) = (64, 6);
        frame[26..34].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
        set(frame, 24, !folded(&frame[14..34], 0));
        frame[35] = port;
        frame[38..42].copy_from_slice(&number.to_be_bytes());
        (frame[46], frame[47]) = (0x50, flags);
        bytes
    }

    fn sent(frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let (mut trains, mut sent) = (Trains::default(), Vec::new());
        for frame in frames {
            trains.put(frame, |piece| sent.push(piece.to_vec()));
        }
        trains.send_all(|piece| sent.push(piece.to_vec()));
        sent
    }

    #[test]
    fn segments_in_a_row_go_as_one() {
        let pieces = sent(vec![
            frame(1, 100, ACK, 1000),
            frame(2, 5, ACK, 10),
            frame(1, 1100, ACK, 1000),
            frame(1, 2100, ACK | PUSH, 500),
            frame(2, 15, ACK, 10),
        ]);
        let [first, second] = &pieces[..] else { panic!("{} pieces", pieces.len()) };
        let words = [54_u16, 1000, 34, 16].map(u16::to_ne_bytes).concat();
        assert_eq!(first[..DESCRIPTION], [&[NEEDS_SUM, TCP4][..], &words].concat());
        let piece = &first[DESCRIPTION..];
        assert_eq!((piece.len(), word(piece, 16)), (54 + 2500, Some(2540)));
        assert_eq!(piece[47], ACK | PUSH);
        // A right header's sum is none; TCP's is that of what is not in the packet.
        assert_eq!(folded(&piece[14..34], 0), 0xffff);
        assert_eq!(word(piece, 50), Some(folded(&piece[26..34], 6 + 2520)));
        assert_eq!(second.len(), DESCRIPTION + 54 + 20);
    }

    #[test]
    fn what_does_not_follow_goes_by_itself() {
        let all = vec![
            frame(1, 100, ACK, 1000),
            // One is missing.
            frame(1, 2100, ACK, 1000),
            // Longer than the first.
            frame(1, 3100, ACK, 1001),
            // Without data, or with news.
            frame(1, 4101, ACK, 0),
            frame(1, 4101, ACK | 1, 10),
        ];
        assert_eq!(sent(all.clone()), all);
        // No packet is longer than the longest one.
        let long = (0..60).map(|i| frame(1, i * 1400, ACK, 1400)).collect();
        let lengths: Vec<_> =
            sent(long).iter().map(|piece| piece.len() - DESCRIPTION - 54).collect();
        assert_eq!(lengths, [46 * 1400, 14 * 1400]);
    }
}
