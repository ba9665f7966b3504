//! Slice names (systemd.slice(5)).

/// A malformed slice name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid slice name {0:?}")]
pub struct SliceError(pub String);

/// The cgroup path of a slice: `a-b.slice` lies at `a.slice/a-b.slice`.
/// The root slice `-.slice` gives the empty path.
pub(crate) fn expand_slice(slice: &str) -> Result<String, SliceError> {
    let error = || SliceError(slice.to_owned());
    let name = slice.strip_suffix(".slice").ok_or_else(error)?;
    if name == "-" {
        return Ok(String::new());
    }
    if name.contains(['/', '\0', '\n']) {
        return Err(error());
    }
    let mut path = String::with_capacity(slice.len() * 2);
    let mut end = 0;
    for component in name.split('-') {
        if component.is_empty() {
            return Err(error());
        }
        end += component.len();
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name.get(..end).ok_or_else(error)?);
        path.push_str(".slice");
        end += 1;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion() {
        assert_eq!(expand_slice("a.slice").unwrap(), "a.slice");
        assert_eq!(
            expand_slice("test-a-b.slice").unwrap(),
            "test.slice/test-a.slice/test-a-b.slice"
        );
        assert_eq!(expand_slice("-.slice").unwrap(), "");
        for bad in ["", ".slice", "a", "-a.slice", "a--b.slice", "a-.slice", "a/b.slice"] {
            assert_eq!(expand_slice(bad), Err(SliceError(bad.to_owned())), "{bad}");
        }
    }
}
