//! Processor time: of a process, through all stubs that it had, and of its children.

use std::time::Duration;

use crate::platform::StubProcess;

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In the guest's code.
    pub user: Duration,
    /// In the host's kernel for it: faults, reports.
    pub system: Duration,
}

impl Usage {
    /// Of a stub so far; nothing once it is gone.
    #[must_use]
    pub fn of_stub(stub: &StubProcess) -> Self {
        let total = stub.processor_time(false).unwrap_or_default();
        let user = stub.processor_time(true).unwrap_or_default().min(total);
        Usage { user, system: total - user }
    }

    /// Both together.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What its clock shows: of its own code alone if `user`, or of all.
    #[must_use]
    pub fn shown(self, user: bool) -> Duration {
        if user { self.user } else { self.total() }
    }

    /// With `other` on top.
    #[must_use]
    pub fn plus(self, other: Usage) -> Self {
        Usage { user: self.user + other.user, system: self.system + other.system }
    }

    /// Since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Usage) -> Self {
        Usage {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// What a process used, as far as its present stub does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accounts {
    /// In former stubs; all of it once the process has ended.
    pub past: Usage,
    /// What the present stub had used before the process lived in it.
    pub base: Usage,
    /// Of children that were waited for.
    pub children: Usage,
    /// Whether it has ended: the stub tells nothing any more.
    pub closed: bool,
}

impl Accounts {
    /// All of the process's own.
    #[must_use]
    pub fn own(&self, stub: Option<&StubProcess>) -> Usage {
        match stub {
            Some(stub) if !self.closed => self.past.plus(Usage::of_stub(stub).since(self.base)),
            _ => self.past,
        }
    }

    /// The process leaves its stub, for another one or for good.
    pub fn leave(&mut self, stub: Option<&StubProcess>) {
        self.past = self.own(stub);
        self.base = Usage::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_stays() {
        let second = |n: u64| Duration::from_secs(n);
        let mut accounts = Accounts {
            past: Usage { user: second(2), system: second(1) },
            base: Usage { user: second(9), system: second(9) },
            ..Accounts::default()
        };
        accounts.leave(None);
        assert_eq!(accounts.own(None).total(), second(3));
        assert_eq!(accounts.base, Usage::default());
        let less = Usage::default().since(accounts.past);
        assert_eq!(less, Usage::default());
    }
}
