//! Whether and when a container is run again.

use std::time::Duration;

use crate::RestartPolicy;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// A run that lasts so long was a good one: the next pause is short again.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// Pauses that double.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    last: Option<Duration>,
}

impl BackOff {
    /// The pause after a run that lasted `ran`.
    pub(super) fn next(&mut self, ran: Duration) -> Duration {
        let pause = match self.last {
            Some(last) if ran < GOOD_RUN => (last * 2).min(LONGEST),
            _ => SHORTEST,
        };
        self.last = Some(pause);
        pause
    }
}

impl RestartPolicy {
    /// Whether a container that has ended with `code` and was run again
    /// `restarts` times is to be run once more.
    pub(super) fn wants(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure(most) => code != 0 && (most == 0 || restarts < most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_start_again() {
        let mut back_off = BackOff::default();
        let short = Duration::from_secs(1);
        let pauses: Vec<u128> = (0..12).map(|_| back_off.next(short).as_millis()).collect();
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[9..], [51_200, 60_000, 60_000]);
        assert_eq!(back_off.next(GOOD_RUN), SHORTEST);
    }

    #[test]
    fn policies_say_when() {
        assert!(!RestartPolicy::No.wants(1, 0));
        assert!(RestartPolicy::Always.wants(0, 1000));
        assert!(!RestartPolicy::OnFailure(0).wants(0, 0));
        assert!(RestartPolicy::OnFailure(0).wants(1, 1000));
        assert!(RestartPolicy::OnFailure(2).wants(1, 1));
        assert!(!RestartPolicy::OnFailure(2).wants(1, 2));
    }
}
