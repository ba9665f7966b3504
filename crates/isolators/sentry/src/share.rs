//! Shares of what there may only be so many of.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One of so many, as long as it is there.
#[derive(Debug)]
pub(crate) struct Share(&'static AtomicUsize);

impl Share {
    /// One more, if there are less than `most`.
    #[must_use]
    pub(crate) fn of(count: &'static AtomicUsize, most: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::SeqCst);
        // If it is one too many it goes again.
        let share = Share(count);
        (before < most).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_and_each_comes_back() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (first, second) = (Share::of(&COUNT, 2), Share::of(&COUNT, 2));
        assert!(first.is_some() && second.is_some() && Share::of(&COUNT, 2).is_none());
        drop(first);
        assert!(Share::of(&COUNT, 2).is_some());
        drop(second);
        assert_eq!(COUNT.load(Ordering::SeqCst), 0);
    }
}
