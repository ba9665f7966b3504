//! URLs: where they lead, and how they are put together.

use ureq::http::Uri;

/// Scheme, host and port: to whom a secret may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// The origin of `uri`; none if it is no absolute HTTP or HTTPS URL, or has a
/// user's name in it.
pub(super) fn origin(uri: &Uri) -> Option<Origin> {
    let secure = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    Some(Origin { secure, host: authority.host().to_ascii_lowercase(), port })
}

/// `location`, which may be relative, seen from `base`.
pub(super) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next()?;
    if location.is_empty() || location.len() > 16 << 10 {
        return None;
    }
    let scheme = location.split_once("://").map(|(scheme, _)| scheme);
    let is_absolute = scheme.is_some_and(|s| s.bytes().all(|b| b.is_ascii_alphanumeric()));
    let absolute = if is_absolute {
        location.to_owned()
    } else {
        let scheme = base.scheme_str()?;
        let authority = base.authority()?;
        if let Some(rest) = location.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else if location.starts_with('?') {
            format!("{scheme}://{authority}{}{location}", base.path())
        } else {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        }
    };
    let uri: Uri = absolute.parse().ok()?;
    origin(&uri).map(|_| uri)
}

/// `uri` with one more `key=value`.
pub(super) fn with_query(uri: &str, key: &str, value: &str) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{key}={}", encode(value))
}

/// Percent-encoded for a query or a form.
pub(super) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b':') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// For messages: without the query, which may hold a signature.
pub(super) fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", |a| a.as_str());
    format!("{scheme}://{authority}{}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::{encode, join, origin, shown, with_query};

    #[test]
    fn origins() {
        let of = |text: &str| origin(&text.parse().unwrap());
        assert_eq!(of("https://A.example/x"), of("https://a.example:443/y?z"));
        assert_ne!(of("https://a.example/"), of("http://a.example/"));
        assert_ne!(of("http://a.example/"), of("http://a.example:81/"));
        assert!(of("ftp://a.example/").is_none());
        assert!(of("https://user@a.example/").is_none());
        assert!(of("/relative").is_none());
    }

    #[test]
    fn locations() {
        let base = "https://r.example:5000/v2/a/blobs/uploads/?x=1".parse().unwrap();
        for (location, expected) in [
            ("/v2/b?c=d", "https://r.example:5000/v2/b?c=d"),
            ("http://s.example/z", "http://s.example/z"),
            ("//s.example/z", "https://s.example/z"),
            ("uuid?y=http://q", "https://r.example:5000/v2/a/blobs/uploads/uuid?y=http://q"),
            ("?y", "https://r.example:5000/v2/a/blobs/uploads/?y"),
            ("/a#b", "https://r.example:5000/a"),
        ] {
            assert_eq!(join(&base, location).unwrap().to_string(), expected);
        }
        for bad in ["", "#", "file:///etc/passwd", "http://", "https://u:p@s.example/", "/a b"] {
            assert!(join(&base, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn queries() {
        assert_eq!(with_query("a?b=c", "d", "e&f g"), "a?b=c&d=e%26f%20g");
        assert_eq!(encode("repository:a/b:pull,push"), "repository:a/b:pull%2Cpush");
        assert_eq!(shown(&"https://a/b?secret=1".parse().unwrap()), "https://a/b");
    }
}
