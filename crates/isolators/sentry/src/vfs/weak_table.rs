//! Tables of what others hold: an entry counts as long as somebody does.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// What is held under a key; else what is made now. Those that nobody holds go before a table
/// grows, so that it stays in proportion to what is held.
pub(super) fn find_or_keep<K: Eq + Hash, V>(
    table: &mut HashMap<K, Weak<V>>,
    key: K,
    make: impl FnOnce() -> Arc<V>,
) -> Arc<V> {
    const FEW: usize = 64;
    if let Some(held) = table.get(&key).and_then(Weak::upgrade) {
        return held;
    }
    if table.len() >= FEW && table.len() == table.capacity() {
        table.retain(|_, held| held.strong_count() > 0);
    }
    let made = make();
    table.insert(key, Arc::downgrade(&made));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_found_and_the_rest_goes() {
        let mut table = HashMap::new();
        let one = find_or_keep(&mut table, 1, || Arc::new('a'));
        assert_eq!(*find_or_keep(&mut table, 1, || Arc::new('b')), 'a');
        drop(one);
        let other = find_or_keep(&mut table, 1, || Arc::new('c'));
        assert_eq!(*other, 'c');
        for key in 2..100_000 {
            find_or_keep(&mut table, key, || Arc::new('d'));
        }
        assert!(table.len() < 1000, "{}", table.len());
        assert_eq!(*find_or_keep(&mut table, 1, || Arc::new('e')), 'c');
    }
}
