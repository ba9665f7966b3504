//! Long lists in parts.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::Status;

/// Most items in one part. An item has a few kilobytes at most, a message four
/// megabytes with most clients.
const ITEMS: usize = 256;

/// The parts of a list as gRPC sends them.
pub(crate) type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// `items` in parts, each wrapped by `wrap`. An empty list has no parts.
pub(crate) fn parts<I, T>(items: Vec<I>, wrap: fn(Vec<I>) -> T) -> Parts<T>
where
    I: Send + 'static,
    T: Send + 'static,
{
    let mut items = items.into_iter();
    let parts = std::iter::from_fn(move || {
        let part: Vec<I> = items.by_ref().take(ITEMS).collect();
        (!part.is_empty()).then(|| Ok(wrap(part)))
    });
    Box::pin(tokio_stream::iter(parts))
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::{ITEMS, parts};

    #[tokio::test]
    async fn all_items_come_in_order() {
        for count in [0, 1, ITEMS, ITEMS + 1, 3 * ITEMS] {
            let all: Vec<usize> = (0..count).collect();
            let mut stream = parts(all.clone(), |part| part);
            let mut found = Vec::new();
            while let Some(part) = stream.next().await {
                let part = part.unwrap();
                assert!(!part.is_empty() && part.len() <= ITEMS);
                found.extend(part);
            }
            assert_eq!(found, all);
        }
    }
}
