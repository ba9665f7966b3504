//! How many signals wait for each user: what `RLIMIT_SIGPENDING` limits, and with it what
//! timer_create(2) makes, as the signal of a timer always has its place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::limits::resource;
use super::user_namespace::{FIRST, Space};
use super::waiter::lock;
use super::{Credentials, Process, Thread};

/// So many a container has, whatever the limits of its users.
const MOST: u64 = 65_536;

/// A user, in a user namespace with this number.
type User = (u64, u32);

#[derive(Debug, Default)]
struct Counts {
    users: BTreeMap<User, u64>,
    all: u64,
}

/// Signals that wait in a container.
#[derive(Debug, Default)]
pub struct Queued(Mutex<Counts>);

/// Whom a signal is for, with how many may wait for him.
#[derive(Clone, Debug)]
pub struct Account {
    queued: Arc<Queued>,
    space: Space,
    user: u32,
    most: u64,
}

/// One that is counted, as long as this is there: for who it was for when it was queued.
#[derive(Debug)]
pub struct Charge(Account);

impl Account {
    fn new(process: &Process, credentials: &Mutex<Credentials>) -> Self {
        let queued = process.kernel().map_or_else(Arc::default, |home| Arc::clone(&home.queued));
        let most = lock(&process.limits).soft(resource::SIGPENDING);
        let who = lock(credentials);
        Account { queued, space: who.space.clone(), user: who.users[0], most }
    }

    /// For signals to any thread of a process.
    #[must_use]
    pub fn of_process(process: &Process) -> Self {
        Account::new(process, &process.credentials())
    }

    /// For signals to a thread.
    #[must_use]
    pub fn of_thread(thread: &Thread) -> Self {
        Account::new(&thread.process, &thread.credentials)
    }

    /// The user, and who made each namespace on the way up from his, with how many may wait for
    /// that one.
    fn levels(&self) -> impl Iterator<Item = (User, u64)> {
        let first = Some((self.space.as_ref(), self.user, self.most));
        let levels = std::iter::successors(first, |(space, ..)| {
            space.map(|own| (own.parent.as_ref(), own.owner.0, own.most_queued))
        });
        levels.map(|(space, user, most)| ((space.map_or(FIRST, |own| own.number), user), most))
    }

    /// How many wait for this user.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counts = lock(&self.queued.0);
        let (user, _) = self.levels().next().unwrap_or_default();
        counts.users.get(&user).copied().unwrap_or(0)
    }

    /// How many may.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.most
    }

    /// Counts one more; `None` if there is no room. `forced`: whatever the limits.
    #[must_use]
    pub fn charge(&self, forced: bool) -> Option<Arc<Charge>> {
        let mut counts = lock(&self.queued.0);
        let Counts { users, all } = &mut *counts;
        let full = |(user, most)| users.get(&user).copied().unwrap_or(0) >= most;
        if !forced && (*all >= MOST || self.levels().any(full)) {
            return None;
        }
        *all += 1;
        self.levels().for_each(|(user, _)| *users.entry(user).or_default() += 1);
        Some(Arc::new(Charge(self.clone())))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Charge(account) = self;
        let mut counts = lock(&account.queued.0);
        counts.all = counts.all.saturating_sub(1);
        for (user, _) in account.levels() {
            if let Some(count) = counts.users.get_mut(&user) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.users.remove(&user);
                }
            }
        }
    }
}

#[cfg(test)]
impl Account {
    /// Of root, who may have so many.
    #[must_use]
    pub(crate) fn with_room(most: u64) -> Self {
        Account { queued: Arc::default(), space: None, user: 0, most }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::INFINITY;
    use super::*;

    #[test]
    fn each_is_counted_until_it_is_gone_and_for_its_own_user() {
        let mut account = Account::with_room(2);
        let two = [account.charge(false), account.charge(false)];
        assert!(two.iter().all(Option::is_some) && account.charge(false).is_none());
        let third = account.charge(true);
        assert_eq!((third.is_some(), account.count()), (true, 3));
        account.user = 7;
        assert_eq!((account.count(), account.charge(false).is_some()), (0, true));
        drop((two, third));
        account.user = 0;
        assert_eq!(account.count(), 0);
        assert!(lock(&account.queued.0).users.is_empty());
    }

    #[test]
    fn who_makes_a_namespace_answers_for_all_in_it() {
        let maker = Credentials::of(1000, 1000, Vec::new());
        let within = |most: u64| maker.in_new_space(most).unwrap().space;
        let above = Account { user: 1000, ..Account::with_room(INFINITY) };
        let queued = Arc::clone(&above.queued);
        let inside = Account { queued, space: within(2), user: 5, most: INFINITY };
        let other = Account { space: within(9), user: 5, ..Account::with_room(INFINITY) };
        let own = above.charge(false);
        let one = inside.charge(false);
        assert_eq!((above.count(), inside.count(), other.count()), (2, 1, 0));
        assert!(inside.charge(false).is_none(), "his limit when he made it");
        drop(own);
        assert!(inside.charge(false).is_some());
        drop(one);
        assert_eq!((above.count(), inside.count()), (0, 0));
    }

    #[test]
    fn a_container_has_so_many_whatever_the_limits() {
        let account = Account::with_room(INFINITY);
        let all: Vec<_> = (0..MOST).map_while(|_| account.charge(false)).collect();
        assert_eq!(all.len() as u64, MOST);
        assert!(account.charge(false).is_none() && account.charge(true).is_some());
    }
}
