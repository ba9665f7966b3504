//! Datagrams of UDP that their sender's side left in one piece (`UDP_SEGMENT`, udp(7)) are cut
//! up again: here each is one of its own. Hosts before Linux 6.2 don't give such a piece to a
//! packet socket that is told how to cut it: there they are lost.

use super::train::{DESCRIPTION, ETHERNET, folded, set, word};

/// `VIRTIO_NET_HDR_GSO_UDP_L4`
const DATAGRAMS: u8 = 5;
/// `VIRTIO_NET_HDR_GSO_ECN`, which may come with any.
const CONGESTION: u8 = 0x80;
/// Header of UDP.
const HEADER: usize = 8;
const UDP: u8 = 17;
/// Parts that a sender may leave in one piece (`UDP_MAX_SEGMENTS`).
const MOST: usize = 128;

/// The frames of what came, each behind a description; `None` if it is one frame.
pub(super) fn datagrams(came: &[u8]) -> Option<Vec<Vec<u8>>> {
    if *came.get(1)? & !CONGESTION != DATAGRAMS {
        return None;
    }
    let each = usize::from(u16::from_ne_bytes(*came.get(4..)?.first_chunk()?));
    let frame = came.get(DESCRIPTION..)?;
    let (is_v6, udp) = match word(frame, 12)? {
        0x0800 if *frame.get(23)? == UDP => {
            (false, ETHERNET + usize::from(*frame.get(ETHERNET)? & 0xf) * 4)
        }
        0x86dd if *frame.get(20)? == UDP => (true, ETHERNET + 40),
        _ => return None,
    };
    let data = frame.get(udp + HEADER..).filter(|_| each > 0)?;
    // More are lost, as on any wire.
    let data = data.get(..each * MOST).unwrap_or(data);
    let cut = data.chunks(each).map(|part| {
        let mut one = came.get(..DESCRIPTION + udp + HEADER).unwrap_or_default().to_vec();
        one.extend_from_slice(part);
        one.iter_mut().take(DESCRIPTION).for_each(|byte| *byte = 0);
        let frame = one.get_mut(DESCRIPTION..).unwrap_or_default();
        let length = |from| u16::try_from(frame.len() - from).unwrap_or(u16::MAX);
        let (of_udp, of_ip) = (length(udp), length(ETHERNET));
        set(frame, udp + 4, of_udp);
        // It was that of the whole; who takes it here does not ask for it.
        set(frame, udp + 6, 0);
        if is_v6 {
            set(frame, 18, of_udp);
        } else {
            set(frame, 16, of_ip);
            set(frame, 24, 0);
            let sum = !folded(frame.get(ETHERNET..udp).unwrap_or_default(), 0);
            set(frame, 24, sum);
        }
        one
    });
    Some(cut.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_one_of_its_own() {
        let mut came = vec![0; DESCRIPTION + 42 + 25];
        (came[1], came[4]) = (DATAGRAMS | CONGESTION, 10);
        came[DESCRIPTION + 42..].iter_mut().zip(0..).for_each(|(byte, at)| *byte = at);
        let frame = &mut came[DESCRIPTION..];
        (frame[12], frame[14], frame[23]) = (8, 0x45, 17);
        let all = datagrams(&came).unwrap();
        let lengths: Vec<_> = all.iter().map(|one| one.len() - DESCRIPTION - 42).collect();
        assert_eq!(lengths, [10, 10, 5]);
        let last = &all[2][DESCRIPTION..];
        assert_eq!((word(last, 16), word(last, 38)), (Some(33), Some(13)));
        assert_eq!(folded(&last[14..34], 0), 0xffff);
        assert_eq!(last[42..], [20, 21, 22, 23, 24]);
        came[1] = 1;
        assert_eq!(datagrams(&came), None);
        (came[1], came[4]) = (DATAGRAMS, 0);
        assert_eq!(datagrams(&came), None);
    }
}
