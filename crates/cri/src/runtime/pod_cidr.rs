//! A CNI configuration from a template, once the cluster has said which
//! addresses its pods have on this node.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The name of what is written.
const FILE: &str = "10-caisson-pod-cidr.conflist";
/// What the template has where the first range goes.
const FIRST: &str = "{{.PodCIDR}}";
/// What it has where all go, as the inside of a JSON array of `ranges`.
const RANGES: &str = "{{.PodCIDRRanges}}";
/// Longest template, in bytes.
const MAX: u64 = 1 << 20;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum TemplateError {
    /// A range is none.
    #[error("{0:?} is no range of addresses such as 10.1.0.0/16")]
    Range(String),
    /// A file.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The template does not become JSON.
    #[error(
        "serve.cni_template {}: with {FIRST} and {RANGES} filled in it is no CNI configuration \
         list: {reason}", path.display()
    )]
    Malformed {
        /// The template.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The ranges of a list with commas between.
pub(super) fn parse(text: &str) -> Result<Vec<String>, TemplateError> {
    let range = |text: &str| {
        let text = text.trim();
        let (address, length) = text.split_once('/')?;
        let most = match address.parse::<IpAddr>().ok()? {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        (length.parse::<u8>().ok()? <= most).then(|| text.to_owned())
    };
    let each = text.split(',').map(|t| range(t).ok_or_else(|| TemplateError::Range(short(t))));
    each.collect()
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Fills `template` in and puts it into `dir`, unless another configuration is
/// there; what was written.
pub(super) fn write(
    template: &Path,
    dir: &Path,
    ranges: &[String],
) -> Result<Option<PathBuf>, TemplateError> {
    let fail = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TemplateError::File { what, path, source }
    };
    if configured(dir).map_err(fail("list", dir))? {
        return Ok(None);
    }
    let length = std::fs::metadata(template).map_err(fail("read", template))?.len();
    if length > MAX {
        let source = io::Error::other("it is longer than 1 MiB");
        return Err(fail("read", template)(source));
    }
    let text = std::fs::read_to_string(template).map_err(fail("read", template))?;
    let filled = fill(&text, ranges)
        .map_err(|reason| TemplateError::Malformed { path: template.to_owned(), reason })?;
    std::fs::create_dir_all(dir).map_err(fail("make", dir))?;
    // CNI looks for *.conf, *.conflist and *.json: this is none until it is whole.
    let (file, unfinished) = (dir.join(FILE), dir.join(format!("{FILE}.tmp")));
    std::fs::write(&unfinished, filled).map_err(fail("write", &unfinished))?;
    std::fs::rename(&unfinished, &file).map_err(fail("write", &file))?;
    Ok(Some(file))
}

/// Whether somebody else has put a configuration into `dir`.
fn configured(dir: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let known = path.extension().and_then(|e| e.to_str());
        if matches!(known, Some("conf" | "conflist" | "json")) && !path.ends_with(FILE) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn fill(text: &str, ranges: &[String]) -> Result<String, String> {
    let first = ranges.first().map(String::as_str).unwrap_or_default();
    let all: Vec<String> = ranges.iter().map(|r| format!("[{{\"subnet\": \"{r}\"}}]")).collect();
    let filled = text.replace(FIRST, first).replace(RANGES, &all.join(", "));
    if filled.contains("{{") {
        return Err("it has other placeholders".to_owned());
    }
    let read: serde_json::Value = serde_json::from_str(&filled).map_err(|e| e.to_string())?;
    match (read.get("name"), read.get("plugins")) {
        (Some(serde_json::Value::String(_)), Some(serde_json::Value::Array(_))) => Ok(filled),
        _ => Err("it has no name, or no plugins".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge",
        "ipam": {"type": "host-local", "subnet": "{{.PodCIDR}}", "ranges": [{{.PodCIDRRanges}}]}}]}"#;

    #[test]
    fn ranges_are_checked() {
        assert_eq!(parse("10.1.0.0/16, fd00::/64").unwrap(), ["10.1.0.0/16", "fd00::/64"]);
        for bad in ["10.1.0.0", "10.1.0.0/33", "x/8", "10.0.0.0/8,", "10.0.0.0/8\"]"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_template_is_filled_and_others_go_first() {
        let temp = tempfile::tempdir().unwrap();
        let (template, dir) = (temp.path().join("t"), temp.path().join("net.d"));
        std::fs::write(&template, TEMPLATE).unwrap();
        let ranges = parse("10.1.0.0/16,fd00::/64").unwrap();
        let file = write(&template, &dir, &ranges).unwrap().unwrap();
        let read: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let ipam = &read["plugins"][0]["ipam"];
        assert_eq!(ipam["subnet"], "10.1.0.0/16");
        assert_eq!(ipam["ranges"][1][0]["subnet"], "fd00::/64");
        // Again with other ranges: our own file is replaced.
        assert!(write(&template, &dir, &parse("10.2.0.0/16").unwrap()).unwrap().is_some());
        std::fs::write(dir.join("05-other.conf"), "{}").unwrap();
        assert!(write(&template, &dir, &ranges).unwrap().is_none());
    }

    #[test]
    fn what_is_no_configuration_is_not_written() {
        assert!(fill("{{range .X}}", &[]).is_err());
        assert!(fill("{}", &[]).is_err());
        assert!(fill("{\"name\":", &[]).is_err());
    }
}
