//! Reading documents: size limit, and errors that name the JSON path.

use crate::error::ConfigError;
use crate::objects::Objects;
use crate::process::Process;
use crate::resources::Resources;
use crate::spec::Spec;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest document that is read, in bytes.
pub const SIZE_LIMIT: u64 = 16 << 20;

impl Spec {
    /// Reads a config.json; see [`crate::validate`] for what this does not check.
    ///
    /// # Errors
    /// If the file cannot be read, is too large, is not JSON, or holds a value
    /// of the wrong type or range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let document = document_name(path);
        Self::parse(&read(path, &document)?, &document)
    }

    /// Parses a config.json.
    ///
    /// # Errors
    /// If it is not JSON, or holds a value of the wrong type or range.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ConfigError> {
        Self::parse(bytes, "config.json")
    }

    fn parse(bytes: &[u8], document: &str) -> Result<Self, ConfigError> {
        parse(bytes, document)
    }
}

impl Process {
    /// Reads a process document, the input of `exec --process`.
    ///
    /// # Errors
    /// As [`Spec::load`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let document = document_name(path);
        parse(&read(path, &document)?, &document)
    }
}

impl Resources {
    /// Parses a resources document, the input of `update`; `document` names
    /// it in errors.
    ///
    /// # Errors
    /// As [`Spec::from_slice`].
    pub fn from_slice(bytes: &[u8], document: &str) -> Result<Self, ConfigError> {
        parse(bytes, document)
    }
}

fn document_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn read(path: &Path, document: &str) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::with_capacity(16 << 10);
    // One byte more than the limit, so that a file of exactly the limit passes.
    Read::take(&mut file, SIZE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).map_or(true, |size| size > SIZE_LIMIT) {
        return Err(ConfigError::TooLarge { document: document.to_owned(), limit: SIZE_LIMIT });
    }
    Ok(bytes)
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], document: &str) -> Result<T, ConfigError> {
    if u64::try_from(bytes.len()).map_or(true, |size| size > SIZE_LIMIT) {
        return Err(ConfigError::TooLarge { document: document.to_owned(), limit: SIZE_LIMIT });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    T::deserialize(Objects(&mut deserializer))
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| explain::<T>(bytes, document, &error))
}

/// Parses once more with path tracking, which would cost time on good input.
fn explain<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    document: &str,
    plain: &serde_json::Error,
) -> ConfigError {
    let document = document.to_owned();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracking = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let reason = match T::deserialize(Objects(tracking)) {
        Err(error) => error.to_string(),
        // The value parses: what failed is text after it.
        Ok(_) => plain.to_string(),
    };
    // "." is the document itself, a final "?" a place that has no name yet.
    let path = track.path().to_string();
    let path = path.trim_end_matches('?').trim_end_matches('.').to_owned();
    ConfigError::Parse { document, path, reason }
}
