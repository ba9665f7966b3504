//! Changes to the full example.

use serde_json::Value;

pub(crate) const FULL: &str = include_str!("../data/full.json");

/// The full example with values replaced, added, or (empty text) removed.
pub(crate) fn edited(edits: &[(&str, &str)]) -> String {
    let mut document: Value = serde_json::from_str(FULL).unwrap();
    for (pointer, text) in edits {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/");
        let value = (!text.is_empty()).then(|| serde_json::from_str(text).unwrap());
        match (document.pointer_mut(parent).unwrap(), value) {
            (Value::Object(members), Some(value)) => {
                members.insert(name, value);
            }
            (Value::Object(members), None) => {
                members.remove(&name).unwrap();
            }
            (Value::Array(items), value) => {
                let index: usize = name.parse().unwrap();
                match value {
                    Some(value) if index == items.len() => items.push(value),
                    Some(value) => items[index] = value,
                    None => drop(items.remove(index)),
                }
            }
            (other, _) => panic!("{pointer}: {other} has no members"),
        }
    }
    document.to_string()
}
