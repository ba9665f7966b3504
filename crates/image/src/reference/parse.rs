//! The grammar of references (distribution's "reference" documentation).

use std::net::{Ipv6Addr, SocketAddrV6};

use super::{DEFAULT_REGISTRY, DEFAULT_TAG, InvalidReference, MAX_REPOSITORY, MAX_TAG, Reference};

/// So much of a wrong name is repeated in an error.
const SHOWN: usize = 200;

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

pub(super) fn reference(text: &str) -> Result<Reference, InvalidReference> {
    if text.is_empty() {
        return Err(InvalidReference::Empty);
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(InvalidReference::Scheme {
            text: shown(text),
            scheme: format!("{}://", shown(scheme)),
        });
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (text, None),
    };
    // A colon behind the last slash begins the tag, one before it a port.
    let tag_at = match (rest.rfind(':'), rest.rfind('/')) {
        (Some(colon), Some(slash)) if colon < slash => None,
        (colon, _) => colon,
    };
    let (name, given_tag) = match tag_at.and_then(|at| rest.split_at_checked(at)) {
        Some((name, tag)) => (name, Some(self::tag(tag.strip_prefix(':').unwrap_or(tag))?)),
        None => (rest, None),
    };
    let (registry, repository) = split(name);
    if registry != DEFAULT_REGISTRY && !is_registry(registry) {
        return Err(InvalidReference::Registry { text: shown(text), part: shown(registry) });
    }
    if is_id(name) {
        return Err(InvalidReference::LooksLikeId { text: shown(text) });
    }
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(InvalidReference::UpperCase { text: shown(text), part: shown(repository) });
    }
    for part in repository.split('/') {
        if !is_path_component(part) {
            return Err(InvalidReference::Repository { text: shown(text), part: shown(part) });
        }
    }
    let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
        format!("library/{repository}")
    } else {
        repository.to_owned()
    };
    if repository.len() > MAX_REPOSITORY {
        return Err(InvalidReference::TooLong { length: repository.len() });
    }
    let tag = given_tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
    Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
}

/// Registry and path: what is before the first slash is a registry if it can't
/// be a part of a path, or is `localhost`.
fn split(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            let registry = if first == "index.docker.io" { DEFAULT_REGISTRY } else { first };
            (registry, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether `text` is HOST or HOST:PORT. The host is a name, an IPv4 address or
/// an IPv6 address in brackets.
pub(crate) fn is_registry(text: &str) -> bool {
    if let Some(bracketed) = text.strip_prefix('[') {
        let Some((address, behind)) = bracketed.split_once(']') else { return false };
        return address.parse::<Ipv6Addr>().is_ok()
            && (behind.is_empty()
                || is_port(behind.strip_prefix(':').unwrap_or_default())
                    && text.parse::<SocketAddrV6>().is_ok());
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.len() <= 253 && host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_path_component(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends_in_words =
        bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
    ends_in_words
        && bytes.split(|b| word(*b)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

pub(super) fn tag(text: &str) -> Result<String, InvalidReference> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let well_formed = text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
    if well_formed { Ok(text.to_owned()) } else { Err(InvalidReference::Tag { tag: shown(text) }) }
}
