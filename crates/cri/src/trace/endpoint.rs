//! Where the collector listens.

use hyper::Uri;

/// The path that OTLP over HTTP has for spans.
const PATH: &str = "/v1/traces";

/// A collector's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port, to connect to.
    pub(super) address: String,
    /// As the `Host` header names it.
    pub(super) authority: String,
    /// Where spans go.
    pub(super) path: String,
}

impl Endpoint {
    /// From a base such as `http://127.0.0.1:4318`; what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "it is no URL")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("https is not spoken here; send it to a collector on this node");
            }
            _ => return Err("it does not begin with http://"),
        }
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err("it has more than host, port and path");
        }
        let base = uri.path().trim_end_matches('/');
        let path = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
        let port = authority.port_u16().unwrap_or(80);
        let address = format!("{}:{port}", authority.host());
        Ok(Self { address, authority: authority.as_str().to_owned(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_and_whole_paths_are_taken() {
        let parsed = |text: &str| Endpoint::parse(text).map(|e| (e.address, e.path));
        let is = |address: &str, path: &str| Ok((address.to_owned(), path.to_owned()));
        assert_eq!(parsed("http://127.0.0.1:4318"), is("127.0.0.1:4318", "/v1/traces"));
        assert_eq!(parsed("http://[::1]:4318/"), is("[::1]:4318", "/v1/traces"));
        assert_eq!(parsed("http://c/otlp/v1/traces"), is("c:80", "/otlp/v1/traces"));
        for bad in [
            "",
            "127.0.0.1:4318",
            "https://c:1",
            "grpc://c:1",
            "http://",
            "http://a@c/",
            "http://c/?x",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
