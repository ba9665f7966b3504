//! Scopes of the docker transport, and maps that name nothing twice.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Reference;

/// The scopes that `reference` is in, the narrowest first: itself, its
/// repository, each parent up to the registry, `*.domain`, everything.
pub(super) fn names(reference: &Reference) -> Vec<String> {
    let repository = reference.name();
    let mut names = Vec::new();
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => names.push(format!("{repository}@{digest}")),
        (None, Some(tag)) => names.push(format!("{repository}:{tag}")),
        (None, None) => {}
    }
    names.push(repository.clone());
    let mut rest = repository.as_str();
    while let Some((parent, _)) = rest.rsplit_once('/') {
        names.push(parent.to_owned());
        rest = parent;
    }
    while let Some((_, domain)) = rest.split_once('.') {
        names.push(format!("*.{domain}"));
        rest = domain;
    }
    names.push(String::new());
    names
}

/// A JSON object in which a name that occurs twice is an error: two readers could
/// understand it differently.
#[derive(Clone, Debug)]
pub(super) struct UniqueMap<T>(pub(super) BTreeMap<String, T>);

impl<T> Default for UniqueMap<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for UniqueMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = BTreeMap<String, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if all.contains_key(&name) {
                        return Err(A::Error::custom(format!("{name:?} occurs twice")));
                    }
                    all.insert(name, value);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(Object(PhantomData)).map(Self)
    }
}
