//! How long to wait before a request is repeated.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::settings::RegistrySettings;

/// The pause after the failed attempt number `attempt` (from 0): doubling, with
/// up to half of it added by chance so that clients don't come in step; what the
/// server asks for if that is longer, but no longer than allowed.
pub(super) fn pause(
    settings: &RegistrySettings,
    attempt: u32,
    asked: Option<Duration>,
) -> Duration {
    let factor = 2_u32.saturating_pow(attempt).min(20);
    let base = settings.backoff.saturating_mul(factor);
    let mut byte = [0];
    // Without chance it is only less polite.
    let _ = SystemRandom::new().fill(&mut byte);
    let jitter = base.saturating_mul(u32::from(byte[0])) / 510;
    let asked = asked.unwrap_or_default().min(settings.max_retry_after);
    (base + jitter).max(asked)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::settings::RegistrySettings;
    use super::pause;

    #[test]
    fn pauses_grow_to_a_limit() {
        let settings = RegistrySettings::bare();
        let base = settings.backoff;
        for (attempt, factor) in [(0, 1), (1, 2), (2, 4), (10, 20), (u32::MAX, 20)] {
            let pause = pause(&settings, attempt, None);
            assert!(pause >= base * factor && pause <= base * factor * 3 / 2, "{pause:?}");
        }
        assert_eq!(pause(&settings, 0, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(pause(&settings, 0, Some(Duration::MAX)), settings.max_retry_after);
    }
}
