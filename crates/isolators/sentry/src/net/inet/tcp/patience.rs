//! How long another machine may say nothing before a connection with it is over, as tcp(7)
//! has it: `SO_KEEPALIVE`, `TCP_KEEP*`, `TCP_USER_TIMEOUT`, `TCP_SYNCNT`.

use std::time::Duration;

use crate::net::inet::options::{
    KEEP_COUNT, KEEP_IDLE, KEEP_INTERVAL, SYN_COUNT, TCP, USER_TIMEOUT,
};
use crate::net::socket::Options;

/// The shortest time after which something is sent once more, and that of the first packet.
const AGAIN: Duration = Duration::from_millis(200);
const FIRST_AGAIN: Duration = Duration::from_secs(1);
/// Fifteen times sent again (`net.ipv4.tcp_retries2`), each after twice the time, up to two
/// minutes.
const RETRIES: Duration = Duration::from_millis(924_600);

/// What the options of a socket say of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Whether one that says nothing is asked, after how long, how often and how many times.
    keeps: Option<(Duration, Duration, u32)>,
    /// How long what was sent may stay unconfirmed, if that is set.
    user: Option<Duration>,
    /// How often a connection is asked for once more.
    syns: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Patience::of(&Options::default())
    }
}

impl Patience {
    /// As the options say.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let number = |option| {
            let value = options.numbers.get(TCP, option).unwrap_or(0);
            u32::try_from(value).unwrap_or(0)
        };
        let seconds = |option| Duration::from_secs(number(option).into());
        let keeps = (seconds(KEEP_IDLE), seconds(KEEP_INTERVAL), number(KEEP_COUNT));
        let user = Duration::from_millis(number(USER_TIMEOUT).into());
        Patience {
            keeps: options.keep_alive.then_some(keeps),
            user: (!user.is_zero()).then_some(user),
            syns: number(SYN_COUNT),
        }
    }

    /// How long a connection may take to come to be.
    #[must_use]
    pub fn connecting(&self) -> Duration {
        let all = FIRST_AGAIN * 2_u32.saturating_pow(self.syns + 1).saturating_sub(1);
        self.user.map_or(all, |user| (FIRST_AGAIN + user).min(all))
    }

    /// How long what was sent may stay unconfirmed; and whether whatever else the other
    /// machine says, as that its window is closed, is no excuse.
    #[must_use]
    pub fn unconfirmed(&self) -> (Duration, bool) {
        (AGAIN + self.user.unwrap_or(RETRIES), self.user.is_some())
    }

    /// After how long without a word the other machine is asked for one, and how often.
    #[must_use]
    pub fn silent(&self) -> Option<(Duration, Duration)> {
        self.keeps.map(|(idle, interval, _)| (idle, interval))
    }

    /// How long after the first question it is given up, if it had been silent for so long.
    #[must_use]
    pub fn asking(&self, silent: Duration) -> Duration {
        let Some((_, interval, count)) = self.keeps else { return Duration::MAX };
        let times = match self.user {
            // At the first question after that time, but for the very first.
            Some(user) => {
                let late = user.saturating_sub(silent).as_millis();
                let times = late.div_ceil(interval.as_millis().max(1)).max(1);
                u32::try_from(times).unwrap_or(u32::MAX)
            }
            None => count,
        };
        interval.saturating_mul(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(keep_alive: bool, set: &[(i32, i32)]) -> Patience {
        let mut options = Options { keep_alive, ..Options::default() };
        for (option, value) in set {
            options.numbers.set(TCP, *option, *value).unwrap();
        }
        Patience::of(&options)
    }

    #[test]
    fn times_are_those_of_tcp_7() {
        let seconds = Duration::from_secs;
        let usual = patience(false, &[]);
        assert_eq!(usual, Patience::default());
        assert_eq!(usual.connecting(), seconds(127));
        assert_eq!(usual.unconfirmed(), (Duration::from_millis(924_800), false));
        assert_eq!(usual.silent(), None);
        let long = patience(true, &[]);
        assert_eq!(long.silent(), Some((seconds(7200), seconds(75))));
        assert_eq!(long.asking(seconds(7200)), seconds(9 * 75));
        let short = [(KEEP_IDLE, 5), (KEEP_INTERVAL, 2), (KEEP_COUNT, 3), (SYN_COUNT, 1)];
        let short = patience(true, &short);
        assert_eq!(short.silent(), Some((seconds(5), seconds(2))));
        assert_eq!(short.asking(seconds(50)), seconds(6));
        assert_eq!(short.connecting(), seconds(3));
        for (user, end) in [(1, 2), (5000, 2), (7001, 4), (i32::MAX, 2_147_480)] {
            let set = [(KEEP_IDLE, 5), (KEEP_INTERVAL, 2), (KEEP_COUNT, 3), (USER_TIMEOUT, user)];
            assert_eq!(patience(true, &set).asking(seconds(5)), seconds(end));
        }
        let user = patience(false, &[(USER_TIMEOUT, 1500)]);
        assert_eq!(user.unconfirmed(), (Duration::from_millis(1700), true));
        assert_eq!(user.connecting(), Duration::from_millis(2500));
    }
}
