//! One-time tokens: who holds one may make one connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

use crate::requests::{Kind, Request, RequestError};

/// 24 bytes: nobody guesses one within its minute.
const RANDOM_BYTES: usize = 24;

pub(crate) struct Tokens {
    lifetime: Duration,
    max: usize,
    waiting: Mutex<HashMap<String, (Instant, Request)>>,
}

impl Tokens {
    pub(crate) fn new(lifetime: Duration, max: usize) -> Self {
        Self { lifetime, max, waiting: Mutex::new(HashMap::new()) }
    }

    /// A new token for `request`.
    pub(crate) fn issue(&self, request: Request) -> Result<String, RequestError> {
        let mut random = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut random).map_err(|_| RequestError::NoRandomness)?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if waiting.len() >= self.max {
            waiting.retain(|_, (until, _)| *until > now);
        }
        if waiting.len() >= self.max {
            return Err(RequestError::TooMany(waiting.len()));
        }
        waiting.insert(token.clone(), (now + self.lifetime, request));
        Ok(token)
    }

    /// The request of a token of this kind, which is spent by that.
    pub(crate) fn redeem(&self, kind: Kind, token: &str) -> Option<Request> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, request) = waiting.get(token)?;
        if request.kind() != kind {
            return None;
        }
        let alive = *until > Instant::now();
        let (_, request) = waiting.remove(token)?;
        alive.then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::PortForwardRequest;

    fn request() -> Request {
        Request::PortForward(PortForwardRequest { pod: "p".to_owned(), ports: Vec::new() })
    }

    #[test]
    fn a_token_works_once_and_for_its_own_kind() {
        let tokens = Tokens::new(Duration::from_secs(60), 10);
        let token = tokens.issue(request()).expect("a token");
        assert_eq!(token.len(), 32);
        assert!(tokens.redeem(Kind::Exec, &token).is_none());
        assert!(tokens.redeem(Kind::PortForward, "other").is_none());
        assert!(tokens.redeem(Kind::PortForward, &token).is_some());
        assert!(tokens.redeem(Kind::PortForward, &token).is_none());
    }

    #[test]
    fn tokens_expire() {
        let tokens = Tokens::new(Duration::ZERO, 10);
        let token = tokens.issue(request()).expect("a token");
        assert!(tokens.redeem(Kind::PortForward, &token).is_none());
    }

    #[test]
    fn tokens_are_bounded_and_expired_ones_make_room() {
        let tokens = Tokens::new(Duration::from_secs(60), 2);
        tokens.issue(request()).expect("the first");
        tokens.issue(request()).expect("the second");
        assert_eq!(tokens.issue(request()), Err(RequestError::TooMany(2)));
        let short = Tokens::new(Duration::ZERO, 2);
        for _ in 0..5 {
            short.issue(request()).expect("a token");
        }
    }
}
