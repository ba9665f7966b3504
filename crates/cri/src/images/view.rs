//! Images as the contract shows them.

use std::collections::BTreeMap;

use caisson_image::{ImageRecord, Reference};
use serde_json::json;

use super::pinned::is_pinned;
use crate::v1;

/// The records as images. One image in several compressions is one.
pub(super) fn images(records: &[ImageRecord], pinned: &[String]) -> Vec<v1::Image> {
    let mut order = Vec::new();
    let mut by_id: BTreeMap<String, Vec<&ImageRecord>> = BTreeMap::new();
    for record in records {
        let id = record.id.to_string();
        if !by_id.contains_key(&id) {
            order.push(id.clone());
        }
        by_id.entry(id).or_default().push(record);
    }
    order
        .into_iter()
        .filter_map(|id| {
            let same = by_id.remove(&id)?;
            Some(image(id, &same, pinned))
        })
        .collect()
}

fn image(id: String, same: &[&ImageRecord], pinned: &[String]) -> v1::Image {
    let collect = |of: fn(&ImageRecord) -> &Vec<Reference>| {
        let mut all: Vec<Reference> = same.iter().flat_map(|r| of(r)).cloned().collect();
        all.sort();
        all.dedup();
        all
    };
    let (names, digests) = (collect(|r| &r.names), collect(|r| &r.digests));
    let (uid, username) =
        same.first().map_or((None, String::new()), |r| user(&r.config.config.user));
    let text = |all: &[Reference]| all.iter().map(ToString::to_string).collect();
    // Who pulled by digest has named the image so; that is no tag.
    let tags: Vec<Reference> = names.iter().filter(|name| name.tag().is_some()).cloned().collect();
    v1::Image {
        repo_tags: text(&tags),
        repo_digests: text(&digests),
        // A kubelet takes an image without a size for a mistake.
        size: same.iter().map(|r| r.size).max().unwrap_or(0).max(1),
        uid,
        username,
        spec: Some(v1::ImageSpec { image: id.clone(), ..v1::ImageSpec::default() }),
        pinned: is_pinned(pinned, &names),
        id,
    }
}

/// Uid or name of the USER of an image's configuration.
fn user(text: &str) -> (Option<v1::Int64Value>, String) {
    let user = text.split(':').next().unwrap_or_default();
    match user.parse::<u32>() {
        Ok(uid) => (Some(v1::Int64Value { value: uid.into() }), String::new()),
        Err(_) => (None, user.to_owned()),
    }
}

/// What `verbose` adds, for people.
pub(super) fn info(record: &ImageRecord) -> BTreeMap<String, String> {
    let text = json!({
        "manifest": record.manifest,
        "platform": record.platform.to_string(),
        "layers": record.layers,
        "chainID": record.chain.last().map(ToString::to_string),
        "containers": record.containers,
        "imageSpec": record.config,
    });
    BTreeMap::from([("info".to_owned(), text.to_string())])
}

#[cfg(test)]
mod tests {
    use super::user;

    #[test]
    fn users_are_numbers_or_names() {
        let of = |text| {
            let (uid, name) = user(text);
            (uid.map(|v| v.value), name)
        };
        assert_eq!(of("1002:1002"), (Some(1002), String::new()));
        assert_eq!(of("0"), (Some(0), String::new()));
        assert_eq!(of("www:data"), (None, "www".to_owned()));
        assert_eq!(of(""), (None, String::new()));
        assert_eq!(of("-1"), (None, "-1".to_owned()));
    }
}
