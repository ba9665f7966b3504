//! Which manifest of an index is for a platform.

use super::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, Index, OCI_INDEX, OCI_MANIFEST};
use crate::{Descriptor, Platform};

/// An index has nothing for a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no image for {wanted}; there is {}", list(available))]
pub struct NoSuchPlatform {
    /// What was asked for.
    pub wanted: Platform,
    /// What there is.
    pub available: Vec<Platform>,
}

fn list(available: &[Platform]) -> String {
    if available.is_empty() {
        return "none for any platform".to_owned();
    }
    let names: Vec<String> = available.iter().take(40).map(ToString::to_string).collect();
    format!("one for {}", names.join(", "))
}

impl Index {
    /// The manifest for `wanted`: the first that names it exactly, else the one
    /// with the highest variant that a processor of that variant also runs, else
    /// the only one that names no platform. Attestations are passed over.
    ///
    /// # Errors
    ///
    /// None is; the error lists those that there are.
    pub fn select(&self, wanted: &Platform) -> Result<&Descriptor, NoSuchPlatform> {
        let images = || self.manifests.iter().filter(|entry| is_image(entry));
        for variant in variants(wanted) {
            let alike = Platform { variant, ..wanted.clone() };
            let found = images().find(|e| e.platform.as_ref().is_some_and(|p| p.satisfies(&alike)));
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let mut unnamed = images().filter(|entry| entry.platform.is_none());
        if let (Some(only), None) = (unnamed.next(), unnamed.next()) {
            return Ok(only);
        }
        let mut available: Vec<_> = images().filter_map(|entry| entry.platform.clone()).collect();
        available.sort();
        available.dedup();
        Err(NoSuchPlatform { wanted: wanted.clone(), available })
    }
}

fn is_image(entry: &Descriptor) -> bool {
    let known = matches!(
        entry.media_type.as_str(),
        OCI_MANIFEST | DOCKER_MANIFEST | OCI_INDEX | DOCKER_MANIFEST_LIST | ""
    );
    let unknown_platform =
        entry.platform.as_ref().is_some_and(|p| p.os == "unknown" || p.architecture == "unknown");
    let attestation = entry.annotations.contains_key("vnd.docker.reference.type");
    known && !unknown_platform && !attestation
}

/// `wanted`'s variant and the older ones that its processors also run.
fn variants(wanted: &Platform) -> Vec<Option<String>> {
    let (lowest, default) = match wanted.architecture.as_str() {
        "arm" => (5, Some(7)),
        "arm64" => (8, Some(8)),
        "amd64" => (1, Some(1)),
        _ => (0, None),
    };
    let number = match wanted.variant.as_deref() {
        None => default,
        Some(name) => name.strip_prefix('v').and_then(|n| n.parse::<u32>().ok()),
    };
    match number {
        Some(number) if (lowest..=64).contains(&number) && lowest > 0 => {
            let mut all: Vec<_> = (lowest..=number).rev().map(|n| Some(format!("v{n}"))).collect();
            // Some arm images name no variant.
            all.push(None);
            all
        }
        _ => vec![wanted.variant.clone()],
    }
}
