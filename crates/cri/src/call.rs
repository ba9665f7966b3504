//! The call that is being answered: what lines of the log, and spans, belong to.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use crate::trace::ActiveSpan;

/// Longest that a call's subject may be, characters.
const MAX_SUBJECT: usize = 256;

tokio::task_local! {
    static IN_TASK: Call;
}

std::thread_local! {
    static ON_THREAD: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// A call. Copies are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Call(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u64,
    subject: OnceLock<String>,
    span: Option<ActiveSpan>,
}

impl Call {
    /// The call of this number.
    pub(crate) fn new(id: u64, span: Option<ActiveSpan>) -> Self {
        Self(Arc::new(Inner { id, subject: OnceLock::new(), span }))
    }

    /// The one that the caller works for.
    pub(crate) fn current() -> Option<Self> {
        let here = ON_THREAD.with_borrow(Clone::clone);
        here.or_else(|| IN_TASK.try_with(Clone::clone).ok())
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// What it is about; empty if nobody has said.
    pub(crate) fn subject(&self) -> &str {
        self.0.subject.get().map_or("", String::as_str)
    }

    /// Its span, if it is traced.
    pub(crate) fn span(&self) -> Option<&ActiveSpan> {
        self.0.span.as_ref()
    }

    /// Does `work` for it.
    pub(crate) async fn scope<F: Future>(self, work: F) -> F::Output {
        IN_TASK.scope(self, work).await
    }

    /// Does `work`, which blocks, for it.
    pub(crate) fn on_thread<T>(call: Option<Self>, work: impl FnOnce() -> T) -> T {
        /// Threads are used again, after a panic, too.
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                ON_THREAD.set(None);
            }
        }
        ON_THREAD.set(call);
        let _leave = Leave;
        work()
    }
}

/// Notes what the call that runs is about. Only the first word counts.
pub(crate) fn about(subject: &str) {
    // Nobody listens outside a call.
    if let Some(call) = Call::current() {
        let _ = call.0.subject.set(subject.chars().take(MAX_SUBJECT).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::blocking;

    fn id() -> Option<u64> {
        Call::current().map(|call| call.id())
    }

    #[tokio::test]
    async fn a_call_is_known_in_its_task_and_on_its_threads() {
        let call = Call::new(7, None);
        let seen = call.clone().scope(async {
            about("first");
            about("second");
            (id(), blocking(|| Ok(id())).await.unwrap())
        });
        assert_eq!(seen.await, (Some(7), Some(7)));
        assert_eq!((call.subject(), id()), ("first", None));
        assert_eq!(blocking(|| Ok(id())).await.unwrap(), None);
    }
}
