//! From what people type to an image.

use super::{Store, StoreError};
use crate::meta::ImageRecord;
use crate::{Digest, Platform, Reference};

/// The fewest hex digits that an image may be called by.
const MIN_ID: usize = 3;
/// The most near misses that an error lists.
const MAX_NEAR: usize = 5;

/// Why no image was found.
#[derive(Debug, thiserror::Error)]
pub enum FindImageError {
    /// There is none.
    #[error("no image {query:?} is here{}", suggestion(near))]
    NotFound {
        /// What was asked for.
        query: String,
        /// Names much like it, the nearest first.
        near: Vec<String>,
    },
    /// The name leads to images, but not for the platform.
    #[error("image {query:?} is here, but not for {wanted}; only for {}", list(available))]
    OtherPlatform {
        /// What was asked for.
        query: String,
        /// For which platform.
        wanted: Box<Platform>,
        /// The platforms there are.
        available: Vec<Platform>,
    },
    /// The id is the beginning of several.
    #[error("{query:?} is the beginning of {} images: {}", ids.len(), ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// The images it could mean.
        ids: Vec<String>,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn suggestion(near: &[String]) -> String {
    if near.is_empty() {
        "; `caisson pull` fetches one, `caisson images` lists them".to_owned()
    } else {
        format!(". Did you mean {}?", near.join(", "))
    }
}

fn list(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Store {
    /// The image that `query` means: a reference, long or short, with a tag or a
    /// digest; an id, or its first digits (at least three), with or without
    /// `sha256:`. Names go before ids, and this machine's platform before
    /// others.
    pub fn find(&self, query: &str) -> Result<ImageRecord, FindImageError> {
        self.find_for(query, None)
    }

    /// The same, for one platform.
    pub fn find_for(
        &self,
        query: &str,
        platform: Option<&Platform>,
    ) -> Result<ImageRecord, FindImageError> {
        let reference = query.parse::<Reference>().ok();
        let mut found = Vec::new();
        if let Some(reference) = &reference {
            found = self.by_reference(reference)?;
        }
        if found.is_empty() {
            found = self.by_id(query)?;
        }
        let mut available: Vec<Platform> = found.iter().map(|i| i.platform.clone()).collect();
        match choose(found, platform) {
            Choice::One(image) => Ok(*image),
            // One image in several compressions: the same in every way that
            // counts here.
            Choice::Several(mut images)
                if images.windows(2).all(|two| matches!(two, [a, b] if a.id == b.id)) =>
            {
                Ok(images.swap_remove(0))
            }
            Choice::Several(images) => {
                let mut ids: Vec<String> =
                    images.iter().map(|i| format!("{} ({})", i.short_id(), i.title())).collect();
                ids.sort();
                Err(FindImageError::Ambiguous { query: query.to_owned(), ids })
            }
            Choice::None => match platform {
                Some(wanted) if !available.is_empty() => {
                    available.sort();
                    available.dedup();
                    let (query, wanted) = (query.to_owned(), Box::new(wanted.clone()));
                    Err(FindImageError::OtherPlatform { query, wanted, available })
                }
                _ => {
                    let near = self.near_misses(query, reference.as_ref())?;
                    Err(FindImageError::NotFound { query: query.to_owned(), near })
                }
            },
        }
    }

    /// Images that the reference leads to: one for each platform.
    pub(crate) fn by_reference(
        &self,
        reference: &Reference,
    ) -> Result<Vec<ImageRecord>, StoreError> {
        match reference.digest() {
            Some(digest) => Ok(self.meta.by_digest(&reference.name(), &digest.to_string())?),
            None => Ok(self.meta.by_name(&reference.to_string())?),
        }
    }

    fn by_id(&self, query: &str) -> Result<Vec<ImageRecord>, StoreError> {
        let hex = query.strip_prefix("sha256:").unwrap_or(query);
        let hexadecimal = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex.len() < MIN_ID || !hexadecimal {
            return Ok(Vec::new());
        }
        let begins = |digest: &Digest| digest.hex().starts_with(hex);
        let mut images = self.images()?;
        images.retain(|image| begins(&image.id) || begins(&image.manifest.digest));
        Ok(images)
    }

    /// Names that are much like `query`.
    fn near_misses(
        &self,
        query: &str,
        reference: Option<&Reference>,
    ) -> Result<Vec<String>, StoreError> {
        let wanted = reference.map_or_else(|| query.to_owned(), Reference::familiar);
        let mut near: Vec<(usize, String)> = Vec::new();
        for image in self.images()? {
            for name in &image.names {
                let familiar = name.familiar();
                if let Some(distance) = resemblance(&wanted, &familiar) {
                    near.push((distance, familiar));
                }
            }
        }
        near.sort();
        near.dedup();
        Ok(near.into_iter().take(MAX_NEAR).map(|(_, name)| name).collect())
    }
}

enum Choice {
    None,
    One(Box<ImageRecord>),
    Several(Vec<ImageRecord>),
}

fn choose(mut found: Vec<ImageRecord>, platform: Option<&Platform>) -> Choice {
    if let Some(wanted) = platform {
        found.retain(|image| image.platform.satisfies(wanted));
    } else if found.len() > 1 {
        let host = Platform::host();
        if found.iter().any(|image| image.platform.satisfies(&host)) {
            found.retain(|image| image.platform.satisfies(&host));
        }
    }
    match found.len() {
        0 => Choice::None,
        1 => found.pop().map_or(Choice::None, |image| Choice::One(Box::new(image))),
        _ => Choice::Several(found),
    }
}

/// How far `name` is from `wanted`, if it is near: a few letters, another tag,
/// or another place of the same last component. Smaller is nearer.
fn resemblance(wanted: &str, name: &str) -> Option<usize> {
    let split = |text: &str| -> (String, String) {
        let last = text.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match text.get(last..).and_then(|t| t.rfind(':')) {
            Some(colon) => text.split_at(last + colon),
            None => (text, ""),
        };
        (path.to_owned(), tag.to_owned())
    };
    let ((wanted_path, wanted_tag), (path, tag)) = (split(wanted), split(name));
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let tags = usize::from(wanted_tag != tag);
    if wanted_path == path {
        return Some(tags);
    }
    let (wanted_last, name_last) = (last(&wanted_path), last(&path));
    if wanted_last == name_last {
        return Some(2 + tags);
    }
    let limit = (wanted_last.chars().count() / 3).clamp(1, 3);
    let distance = edit_distance(&wanted_last, &name_last);
    (distance <= limit).then_some(3 + distance * 2 + tags)
}

/// Letters to add, take away, exchange or swap with their neighbour.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(128).collect();
    let b: Vec<char> = b.chars().take(128).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let at =
                |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best =
                (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, wanted) in [
            ("", "", 0),
            ("", "ab", 2),
            ("nginx", "ngnix", 1),
            ("redis", "reddis", 1),
            ("a", "b", 1),
        ] {
            assert_eq!(edit_distance(a, b), wanted, "{a} {b}");
        }
    }

    #[test]
    fn near_is_near() {
        assert_eq!(resemblance("nginx:latest", "nginx:1.2"), Some(1));
        assert!(resemblance("ngnix:latest", "nginx:latest").is_some());
        assert!(resemblance("busybox:latest", "localhost:5000/x/busybox:latest").is_some());
        assert!(resemblance("localhost:5000/busybx:1", "localhost:5000/busybox:1").is_some());
        assert_eq!(resemblance("nginx:latest", "redis:latest"), None);
    }
}
