//! `hosts.toml` in containerd's form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use ureq::http::Uri;
use ureq::http::header::{HeaderName, HeaderValue};

use super::{Capability, Endpoint, TlsFiles, is_loopback};
use crate::registry::url;

#[derive(Deserialize)]
struct Content {
    server: Option<String>,
    #[serde(default)]
    host: BTreeMap<String, Spanned<Host>>,
    #[serde(flatten)]
    own: toml::Table,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMany>,
    client: Option<toml::Value>,
    skip_verify: Option<bool>,
    #[serde(default)]
    header: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    override_path: bool,
    dial_timeout: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// The mirrors in the order of the file, then the server.
pub(super) fn endpoints(
    text: &str,
    folder: &Path,
    registry: &str,
) -> Result<Vec<Endpoint>, String> {
    let content: Content = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut hosts: Vec<_> = content.host.into_iter().collect();
    hosts.sort_by_key(|(_, host)| host.span().start);
    let mut endpoints = Vec::new();
    for (name, host) in hosts {
        let mut endpoint = endpoint(&name, host.into_inner(), folder)
            .map_err(|why| format!("host.{name:?}: {why}"))?;
        endpoint.namespace = Some(registry.to_owned());
        endpoints.push(endpoint);
    }
    let own: Host = content.own.try_into().map_err(|error: toml::de::Error| error.to_string())?;
    let bare = content.server.is_none() && own.ca.is_none() && own.client.is_none();
    let default =
        super::server(registry, "https", TlsFiles::default()).map_err(|error| error.to_string())?;
    let unset = own.skip_verify.is_none();
    let url = content.server.unwrap_or_else(|| default.base.clone());
    let mut server = endpoint(&url, own, folder).map_err(|why| format!("server {url:?}: {why}"))?;
    if bare && unset && is_loopback(&server.origin.host) {
        server.tls.skip_verify = true;
        let plain = super::server(registry, "http", TlsFiles::default())
            .map_err(|error| error.to_string())?;
        server.plain = Some(Box::new(Endpoint { headers: server.headers.clone(), ..plain }));
    }
    // The server is always the last; listed there as a host too, it is asked once.
    if endpoints.last().is_none_or(|mirror: &Endpoint| mirror.base != server.base) {
        if server.origin != default.origin && server.origin.host != default.origin.host {
            server.namespace = Some(registry.to_owned());
        }
        endpoints.push(server);
    }
    Ok(endpoints)
}

fn endpoint(name: &str, host: Host, folder: &Path) -> Result<Endpoint, String> {
    let with_scheme = if name.contains("://") {
        name.to_owned()
    } else {
        let bare = name.split('/').next().unwrap_or(name);
        let bare =
            if bare.starts_with('[') { bare } else { bare.split(':').next().unwrap_or(bare) };
        format!("{}://{name}", if is_loopback(bare) { "http" } else { "https" })
    };
    let uri: Uri = with_scheme.parse().map_err(|_| "is no URL".to_owned())?;
    let origin = url::origin(&uri)
        .ok_or("must be http://HOST or https://HOST, without a user".to_owned())?;
    if uri.query().is_some() {
        return Err("may have no query".to_owned());
    }
    let mut base = with_scheme.trim_end_matches('/').to_owned();
    if !host.override_path && !uri.path().trim_end_matches('/').ends_with("/v2") {
        base.push_str("/v2");
    }
    let capabilities = match host.capabilities {
        None => vec![Capability::Pull, Capability::Resolve, Capability::Push],
        Some(names) => names.iter().map(|name| capability(name)).collect::<Result<_, _>>()?,
    };
    let at = |path: String| folder.join(path);
    let tls = TlsFiles {
        ca: host.ca.map(OneOrMany::into_vec).unwrap_or_default().into_iter().map(at).collect(),
        client: host.client.map(|value| client(&value, folder)).transpose()?,
        skip_verify: host.skip_verify.unwrap_or(false),
    };
    let mut headers = Vec::new();
    for (name, values) in host.header {
        for value in values.into_vec() {
            let fine = HeaderName::try_from(&name).is_ok() && HeaderValue::try_from(&value).is_ok();
            if !fine {
                return Err(format!("header {name:?} can't be sent"));
            }
            headers.push((name.clone(), value));
        }
    }
    let dial_timeout = host.dial_timeout.as_deref().map(duration).transpose()?;
    Ok(Endpoint {
        base,
        origin,
        capabilities,
        tls,
        headers,
        dial_timeout,
        namespace: None,
        plain: None,
    })
}

fn capability(name: &str) -> Result<Capability, String> {
    match name {
        "pull" => Ok(Capability::Pull),
        "resolve" => Ok(Capability::Resolve),
        "push" => Ok(Capability::Push),
        other => Err(format!("capability {other:?} is none of pull, resolve, push")),
    }
}

/// `"both.pem"`, `["cert", "key"]` in the older form or `[["cert", "key"]]`. Of
/// several pairs only one can be shown to a server, so several are refused.
fn client(value: &toml::Value, folder: &Path) -> Result<(PathBuf, Option<PathBuf>), String> {
    let wrong = || "client must be \"FILE\" or [[\"CERTIFICATE\", \"KEY\"]], one pair".to_owned();
    let text = |value: &toml::Value| value.as_str().map(|path| folder.join(path));
    if let Some(both) = text(value) {
        return Ok((both, None));
    }
    let list = value.as_array().ok_or_else(wrong)?;
    match list.as_slice() {
        [only] => match only.as_array().map(Vec::as_slice) {
            Some([certificate]) => Ok((text(certificate).ok_or_else(wrong)?, None)),
            Some([certificate, key]) => {
                let key = text(key).filter(|_| key.as_str() != Some(""));
                Ok((text(certificate).ok_or_else(wrong)?, key))
            }
            Some(_) => Err(wrong()),
            None => Ok((text(only).ok_or_else(wrong)?, None)),
        },
        _ => Err(wrong()),
    }
}

/// Go's form of durations, as far as anyone writes it here: `5s`, `1m30s`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("dial_timeout {text:?} is no duration, such as \"5s\" or \"1m30s\"");
    let mut total = 0.0_f64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, behind) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        total += number
            * match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
        rest = behind;
    }
    Duration::try_from_secs_f64(total).ok().filter(|d| !d.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Capability, duration, endpoints};

    fn read(text: &str, registry: &str) -> Result<Vec<super::Endpoint>, String> {
        endpoints(text, Path::new("/etc/c/certs.d/x"), registry)
    }

    #[test]
    fn mirrors_in_order_then_the_server() {
        let all = read(
            r#"
            server = "https://registry-1.docker.io"
            [host."https://z.example"]
              capabilities = ["pull", "resolve"]
              ca = ["a.pem", "/b.pem"]
              client = [["c.cert", "/c.key"]]
              dial_timeout = "1m0.5s"
              [host."https://z.example".header]
                x-one = "1"
                x-two = ["2", "3"]
            [host."http://a.example:5000/prefix"]
              skip_verify = true
            [host."https://m.example/api/"]
              override_path = true
              ca = "one.pem"
              client = "both.pem"
            [host."localhost:5001"]
            "#,
            "docker.io",
        )
        .unwrap();
        let bases: Vec<_> = all.iter().map(|endpoint| endpoint.base.as_str()).collect();
        assert_eq!(
            bases,
            [
                "https://z.example/v2",
                "http://a.example:5000/prefix/v2",
                "https://m.example/api",
                "http://localhost:5001/v2",
                "https://registry-1.docker.io/v2"
            ]
        );
        assert_eq!(all[0].capabilities, [Capability::Pull, Capability::Resolve]);
        assert_eq!(
            all[0].tls.ca,
            ["/etc/c/certs.d/x/a.pem", "/b.pem"].map(Into::<std::path::PathBuf>::into)
        );
        assert_eq!(
            all[0].tls.client,
            Some(("/etc/c/certs.d/x/c.cert".into(), Some("/c.key".into())))
        );
        assert_eq!(all[0].headers.len(), 3);
        assert_eq!(all[0].dial_timeout, Some(Duration::from_millis(60_500)));
        assert_eq!(all[0].namespace.as_deref(), Some("docker.io"));
        assert!(all[1].tls.skip_verify);
        assert_eq!(all[2].tls.client, Some(("/etc/c/certs.d/x/both.pem".into(), None)));
        assert!(all[4].namespace.is_none() && all.iter().all(|endpoint| endpoint.plain.is_none()));
    }

    #[test]
    fn the_server_alone() {
        let only = |text: &str, registry: &str| {
            let mut all = read(text, registry).unwrap();
            assert_eq!(all.len(), 1);
            all.remove(0)
        };
        let plain = only("server = \"http://r.example\"", "r.example");
        assert_eq!(plain.base, "http://r.example/v2");
        let own = only("ca = \"x.crt\"\nskip_verify = true", "r.example:5000");
        assert_eq!(own.base, "https://r.example:5000/v2");
        assert!(own.tls.skip_verify && own.tls.ca.len() == 1);
        assert!(only("", "localhost:5000").plain.is_some());
        assert!(only("ca = \"x\"", "localhost:5000").plain.is_none());
        let twice = only("[host.\"https://r.example\"]\ncapabilities=[\"pull\"]", "r.example");
        assert_eq!(twice.capabilities, [Capability::Pull]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, said) in [
            ("serve = 1", "serve"),
            ("[host.\"https://a\"]\nskip_verfy = true", "skip_verfy"),
            ("[host.\"ftp://a\"]", "ftp://a"),
            ("[host.\"https://u:p@a\"]", "without a user"),
            ("[host.\"https://a\"]\ncapabilities=[\"fly\"]", "fly"),
            ("[host.\"https://a\"]\ndial_timeout=\"fast\"", "fast"),
            ("[host.\"https://a\"]\nclient=[[\"a\",\"b\"],[\"c\",\"d\"]]", "client"),
            ("[host.\"https://a\".header]\n\"a b\"=\"c\"", "a b"),
            ("server = ", "1"),
        ] {
            let error = read(text, "r.example").unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(duration("").is_err() && duration("0s").is_err() && duration("5").is_err());
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    }
}
