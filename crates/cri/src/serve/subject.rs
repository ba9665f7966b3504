//! What a call is about, for the log.

use std::cell::OnceCell;

tokio::task_local! {
    static SUBJECT: OnceCell<String>;
}

/// Notes what the call that runs is about. Only the first word counts.
pub(crate) fn about(subject: &str) {
    // Nobody listens outside a call.
    let _ = SUBJECT.try_with(|cell| cell.set(subject.chars().take(256).collect()));
}

/// Does `call`; what it was about, with its result.
pub(super) async fn listening<F: Future>(call: F) -> (F::Output, String) {
    SUBJECT
        .scope(OnceCell::new(), async {
            let result = call.await;
            let subject = SUBJECT.with(|cell| cell.get().cloned().unwrap_or_default());
            (result, subject)
        })
        .await
}
