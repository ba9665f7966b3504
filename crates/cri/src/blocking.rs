//! From tokio's threads to those that may wait.

use tonic::Status;

use crate::call::Call;

/// Does `work`, which blocks, on a thread for that. It goes on to its end if the
/// caller loses interest: whoever asks again joins it in the engine.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Status>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Status> + Send + 'static,
{
    let call = Call::current();
    let work = move || {
        Call::on_thread(call.clone(), || match call.as_ref().and_then(Call::span) {
            None => work(),
            Some(span) => {
                let (result, operations) = caisson_node::operations::recorded(work);
                span.add_operations(&operations);
                result
            }
        })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Status::unavailable("the daemon is shutting down")),
    }
}
