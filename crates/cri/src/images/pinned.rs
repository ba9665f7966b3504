//! Which images the kubelet's garbage collection leaves alone.

use caisson_image::Reference;

/// Whether `patterns` name one of an image's names: in full or as docker writes
/// it; `*` at the end stands for any ending.
pub(super) fn is_pinned(patterns: &[String], names: &[Reference]) -> bool {
    names.iter().any(|name| {
        let forms = [name.to_string(), name.familiar(), name.name()];
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => forms.iter().any(|form| form.starts_with(start)),
            None => forms.contains(pattern),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::is_pinned;

    #[test]
    fn names_and_beginnings_pin() {
        let names = ["registry.example/pause:3.9".parse().unwrap(), "busybox".parse().unwrap()];
        let pinned = |pattern: &str| is_pinned(&[pattern.to_owned()], &names);
        for pattern in [
            "registry.example/pause:3.9",
            "registry.example/pause:*",
            "registry.*",
            "registry.example/pause",
            "busybox:latest",
            "docker.io/library/busybox:latest",
            "*",
        ] {
            assert!(pinned(pattern), "{pattern}");
        }
        for pattern in ["pause", "registry.example/pause:3.1", "busy", "other*"] {
            assert!(!pinned(pattern), "{pattern}");
        }
        assert!(!is_pinned(&["*".to_owned()], &[]));
    }
}
