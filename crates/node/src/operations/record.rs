//! What operations do, step by step, written down for whoever shows it.

use std::cell::RefCell;

use crate::clock::now_nanos;

std::thread_local! {
    static RECORD: RefCell<Option<Record>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Record {
    done: Vec<OperationRecord>,
    /// The outer ones first.
    open: Vec<OperationRecord>,
}

/// An operation that has ended. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// Its name, such as `run pod`.
    pub operation: &'static str,
    /// On what.
    pub key: String,
    /// When it began.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// Whether it failed.
    pub failed: bool,
    /// Whether somebody else did it, and this caller waited.
    pub waited: bool,
    /// Its steps, in their order. Each ends where the next begins.
    pub steps: Vec<StepRecord>,
}

/// A step of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// Its name.
    pub name: &'static str,
    /// When it began.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
}

/// Does `work`; also what operations it ran, or waited for, on this thread.
pub fn recorded<T>(work: impl FnOnce() -> T) -> (T, Vec<OperationRecord>) {
    /// The thread may be used again after a panic.
    struct Stop;
    impl Drop for Stop {
        fn drop(&mut self) {
            RECORD.set(None);
        }
    }
    RECORD.set(Some(Record::default()));
    let stop = Stop;
    let result = work();
    let done = RECORD.take().map(|record| record.done).unwrap_or_default();
    drop(stop);
    (result, done)
}

fn with(note: impl FnOnce(&mut Record)) {
    RECORD.with_borrow_mut(|record| {
        if let Some(record) = record {
            note(record);
        }
    });
}

pub(super) fn begin(operation: &'static str, key: &str) {
    with(|record| {
        record.open.push(OperationRecord {
            operation,
            key: key.to_owned(),
            began: now_nanos(),
            ended: 0,
            failed: false,
            waited: false,
            steps: Vec::new(),
        });
    });
}

pub(super) fn step(name: &'static str) {
    with(|record| {
        let now = now_nanos();
        if let Some(operation) = record.open.last_mut() {
            end_step(operation, now);
            operation.steps.push(StepRecord { name, began: now, ended: 0 });
        }
    });
}

pub(super) fn end(failed: bool, waited: bool) {
    with(|record| {
        if let Some(mut operation) = record.open.pop() {
            let now = now_nanos();
            end_step(&mut operation, now);
            record.done.push(OperationRecord { ended: now, failed, waited, ..operation });
        }
    });
}

fn end_step(operation: &mut OperationRecord, now: u64) {
    if let Some(last) = operation.steps.last_mut() {
        last.ended = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::Operations;
    use std::time::Duration;

    #[test]
    fn steps_follow_each_other() {
        let operations: Operations<u32, String> = Operations::default();
        let run = || {
            operations.run("make", "pod 1", |operation| {
                operation.step("one", Duration::ZERO);
                operation.step("two", Duration::ZERO);
                Err("no".to_owned())
            })
        };
        let (_, done) = recorded(run);
        let [only] = done.as_slice() else { panic!("{done:?}") };
        assert_eq!((only.operation, only.key.as_str(), only.failed), ("make", "pod 1", true));
        let [one, two] = only.steps.as_slice() else { panic!("{only:?}") };
        assert_eq!((one.name, two.name), ("one", "two"));
        assert!(only.began <= one.began && one.ended == two.began && two.ended == only.ended);
        // Nobody asks: nothing is kept.
        run();
        assert!(RECORD.with_borrow(Option::is_none));
    }
}
