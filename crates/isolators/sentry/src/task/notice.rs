//! Calls that a filter leaves to whoever listens: `SECCOMP_RET_USER_NOTIF`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::filter::CallData;
use super::thread::Thread;
use super::waiter::{WaitQueue, Waiter, Woken, lock};

/// What becomes of a call that somebody was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It returns this.
    Value(i64),
    /// It is made after all.
    Continue,
}

/// A wait that a signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    New,
    Told,
    Answered(Answer),
}

struct Notice {
    thread: Arc<Thread>,
    data: CallData,
    step: Step,
}

#[derive(Default)]
struct State {
    last: u64,
    notices: BTreeMap<u64, Notice>,
    /// Nobody listens any more.
    closed: bool,
    /// Nobody is left whose calls could be asked about.
    orphaned: bool,
}

/// Where the calls of one filter are asked about.
pub struct Notifier {
    state: Mutex<State>,
    /// Signals interrupt a call only until somebody was told of it.
    killable: bool,
    /// For those who listen.
    asked: WaitQueue,
    /// For those who asked.
    answered: Arc<WaitQueue>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

/// What somebody who listens is told.
#[derive(Clone)]
pub struct Told {
    /// Names the call.
    pub id: u64,
    /// Whose it is.
    pub thread: Arc<Thread>,
    /// The call.
    pub data: CallData,
}

impl Notifier {
    /// Without calls; see `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` for `killable`.
    #[must_use]
    pub fn new(killable: bool) -> Arc<Self> {
        Arc::new(Notifier {
            state: Mutex::default(),
            killable,
            asked: WaitQueue::default(),
            answered: Arc::default(),
        })
    }

    /// Asks about a call of a thread, and waits for the answer.
    ///
    /// # Errors
    /// A signal, after which the answer is not waited for.
    pub fn ask(&self, thread: &Arc<Thread>, data: CallData) -> Result<Answer, Interrupted> {
        const NOBODY: Answer = Answer::Value(-38);
        let id = {
            let mut state = lock(&self.state);
            if state.closed {
                return Ok(NOBODY);
            }
            state.last += 1;
            let id = state.last;
            let notice = Notice { thread: Arc::clone(thread), data, step: Step::New };
            state.notices.insert(id, notice);
            id
        };
        self.asked.wake();
        let own = Arc::new(Waiter::default());
        let outcome = loop {
            let told = lock(&self.state).notices.get(&id).is_some_and(|n| n.step == Step::Told);
            // Once it was told of, nothing but the thread's end may call this one.
            let waiter = if told && self.killable { &own } else { &thread.waiter };
            if told && self.killable {
                let queue = Arc::clone(&self.answered);
                *lock(&thread.parked) = Some(Box::new(move || {
                    queue.wake();
                }));
            }
            self.answered.join(waiter);
            {
                let state = lock(&self.state);
                match state.notices.get(&id).map(|notice| notice.step) {
                    Some(Step::Answered(answer)) => break Ok(answer),
                    None => break Ok(NOBODY),
                    Some(_) if state.closed => break Ok(NOBODY),
                    // It was told of meanwhile.
                    Some(Step::Told) if self.killable && !told => continue,
                    Some(_) => {}
                }
            }
            if thread.doomed.load(std::sync::atomic::Ordering::SeqCst) {
                break Err(Interrupted);
            }
            if waiter.wait(None) != Woken::Called {
                break Err(Interrupted);
            }
        };
        lock(&thread.parked).take();
        let notice = lock(&self.state).notices.remove(&id);
        match (outcome, notice.map(|notice| notice.step)) {
            // Whoever answered has been told that it counts.
            (Err(Interrupted), Some(Step::Answered(answer))) => Ok(answer),
            (outcome, _) => outcome,
        }
    }

    /// The oldest call that nobody was told of; `None` if there is none.
    ///
    /// # Errors
    /// `ENOENT` if there can't be one any more.
    pub fn take(&self) -> Result<Option<Told>, Errno> {
        let told = {
            let mut state = lock(&self.state);
            let orphaned = state.orphaned;
            let found = state.notices.iter_mut().find(|(_, notice)| notice.step == Step::New);
            match found {
                None if orphaned => return Err(Errno::NOENT),
                None => return Ok(None),
                Some((id, notice)) => {
                    notice.step = Step::Told;
                    Told { id: *id, thread: Arc::clone(&notice.thread), data: notice.data }
                }
            }
        };
        self.asked.wake();
        if self.killable {
            self.answered.wake();
        }
        Ok(Some(told))
    }

    /// Takes back that somebody was told.
    pub fn put_back(&self, id: u64) {
        if let Some(notice) = lock(&self.state).notices.get_mut(&id)
            && notice.step == Step::Told
        {
            notice.step = Step::New;
        }
        self.asked.wake();
    }

    /// The call that waits for an answer.
    fn waiting(state: &mut State, id: u64) -> Result<&mut Notice, Errno> {
        let notice = state.notices.get_mut(&id).ok_or(Errno::NOENT)?;
        match notice.step {
            Step::Told => Ok(notice),
            _ => Err(Errno::INPROGRESS),
        }
    }

    /// Whether a call waits for an answer.
    ///
    /// # Errors
    /// `ENOENT` if there is no such call, `EINPROGRESS` if nobody was told of it or it
    /// was answered.
    pub fn waits(&self, id: u64) -> Result<(), Errno> {
        Notifier::waiting(&mut lock(&self.state), id).map(|_| ())
    }

    /// Does something for the thread whose call waits for an answer, which neither ends
    /// nor is answered meanwhile; answers with what is told, if `sends`. `act` must not
    /// drop what is the guest's.
    ///
    /// # Errors
    /// As [`Self::waits`]; `ENOENT` if the thread is about to end; those of `act`.
    pub fn act(
        &self,
        id: u64,
        sends: bool,
        act: impl FnOnce(&Thread) -> Result<i64, Errno>,
    ) -> Result<i64, Errno> {
        let value = {
            let mut state = lock(&self.state);
            let notice = Notifier::waiting(&mut state, id)?;
            if notice.thread.doomed.load(std::sync::atomic::Ordering::SeqCst) {
                return Err(Errno::NOENT);
            }
            let value = act(&notice.thread)?;
            if sends {
                notice.step = Step::Answered(Answer::Value(value));
            }
            value
        };
        if sends {
            self.answered.wake();
        }
        Ok(value)
    }

    /// Answers.
    ///
    /// # Errors
    /// As [`Self::waits`].
    pub fn answer(&self, id: u64, answer: Answer) -> Result<(), Errno> {
        Notifier::waiting(&mut lock(&self.state), id)?.step = Step::Answered(answer);
        self.answered.wake();
        Ok(())
    }

    /// Nobody listens any more.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.answered.wake();
    }

    /// The filter is gone.
    pub fn orphan(&self) {
        lock(&self.state).orphaned = true;
        self.asked.wake();
    }

    /// Whether there are calls that nobody was told of, those that wait for an answer, and
    /// whether there can't be any more.
    #[must_use]
    pub fn ready(&self) -> (bool, bool, bool) {
        let state = lock(&self.state);
        let any = |step| state.notices.values().any(|notice| notice.step == step);
        (any(Step::New), any(Step::Told), state.orphaned)
    }

    /// Has a waiter called when that changes.
    pub fn watch(&self, waiter: &Arc<Waiter>) {
        self.asked.join(waiter);
    }
}
