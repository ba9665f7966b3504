//! Which trace a call belongs to: W3C's `traceparent`.

use rustix::rand::{GetRandomFlags, getrandom};

/// What a client says of the trace that its call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) sampled: bool,
}

impl TraceParent {
    /// Reads the header; `None` if it is not as the specification has it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = hex::<1>(parts.next()?)?;
        let trace = hex::<16>(parts.next()?)?;
        let span = hex::<8>(parts.next()?)?;
        let [flags] = hex::<1>(parts.next()?)?;
        // Later versions may say more.
        let more = parts.next().is_some();
        if version == [0xff] || (version == [0] && more) || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Small letters and digits only, as the specification asks for.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes();
    if bytes.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut value = [0; N];
    for (slot, pair) in value.iter_mut().zip(bytes.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *slot = digit(*high)? << 4 | digit(*low)?;
    }
    Some(value)
}

/// An id that nobody else has; `None` if the kernel gives no random bytes.
pub(super) fn new_id<const N: usize>() -> Option<[u8; N]> {
    let mut id = [0; N];
    // So few come at once or not at all.
    let filled = getrandom(&mut id, GetRandomFlags::empty()).ok()?;
    (filled == N && id != [0; N]).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_as_the_specification_has_them() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(good).unwrap();
        assert_eq!((parent.trace[0], parent.span[1], parent.sampled), (0x4b, 0xf0, true));
        assert!(!TraceParent::parse(&good.replace("-01", "-00")).unwrap().sampled);
        assert!(TraceParent::parse(&(good.replacen("00", "01", 1) + "-more")).is_some());
        for bad in [
            String::new(),
            good.to_uppercase(),
            good.replacen("00", "ff", 1),
            format!("{good}-more"),
            good.replace("00f067aa0ba902b7", "0000000000000000"),
            good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            good.replace("4bf9", "4bf"),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
        assert_ne!(new_id::<8>().unwrap(), new_id::<8>().unwrap());
    }
}
