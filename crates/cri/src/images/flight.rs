//! One at a time of the same thing: who asks for what is being done waits for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tonic::Status;

use crate::blocking::blocking;
use crate::call::Call;

type Outcome<T> = Option<Result<T, Status>>;

/// What is being done, by key.
#[derive(Debug)]
pub(super) struct Flights<K, T> {
    running: Arc<Mutex<HashMap<K, watch::Receiver<Outcome<T>>>>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Does `work`, or waits for who does the same already. The work goes on
    /// when nobody waits any more.
    pub(super) async fn join<F>(&self, key: K, work: F) -> Result<T, Status>
    where
        F: FnOnce() -> Result<T, Status> + Send + 'static,
    {
        let mut outcome = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(outcome) = running.get(&key) {
                outcome.clone()
            } else {
                let (sender, outcome) = watch::channel(None);
                running.insert(key.clone(), outcome.clone());
                let running = Arc::clone(&self.running);
                // What is logged of it belongs to who asked first.
                let call = Call::current();
                tokio::spawn(async move {
                    let result = match call {
                        Some(call) => call.scope(blocking(work)).await,
                        None => blocking(work).await,
                    };
                    // Off the list first: who comes now begins anew.
                    running.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                    let _ = sender.send(Some(result));
                });
                outcome
            }
        };
        match outcome.wait_for(Option::is_some).await {
            Ok(done) => done.clone().unwrap_or_else(|| Err(ended())),
            Err(_) => Err(ended()),
        }
    }

    /// How many are being done.
    pub(super) fn count(&self) -> usize {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn ended() -> Status {
    Status::unavailable("the daemon is shutting down")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_same_is_done_once() {
        let flights = Arc::new(Flights::<u8, usize>::default());
        let done = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for i in 0..6_u8 {
            let (flights, done) = (Arc::clone(&flights), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                flights
                    .join(i % 2, move || {
                        std::thread::sleep(Duration::from_millis(100));
                        Ok(done.fetch_add(1, Ordering::SeqCst))
                    })
                    .await
            }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(done.load(Ordering::SeqCst), 2);
        assert_eq!(flights.count(), 0);
        let failed = flights.join(0, || Err(Status::not_found("no"))).await.unwrap_err();
        assert_eq!(failed.code(), tonic::Code::NotFound);
        assert_eq!(flights.join(0, || Ok(7)).await.unwrap(), 7);
    }
}
