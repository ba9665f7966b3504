//! Writing to standard output, each text by one write where the kernel takes it.

use rustix::io::Errno;

use crate::failure::CliError;

/// Writes all of `bytes` to standard output.
pub(crate) fn stdout(mut bytes: &[u8]) -> Result<(), CliError> {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(CliError::io("write to standard output", error)),
        }
    }
    Ok(())
}

/// `value` as JSON, indented by `indent` per level, without a final newline.
pub(crate) fn pretty_json<T: serde::Serialize>(
    value: &T,
    indent: &str,
) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::with_capacity(1024);
    let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))
        .map_err(json_error)?;
    Ok(text)
}

/// `value` as one line of JSON, with its newline.
pub(crate) fn json_line<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, CliError> {
    let mut text = serde_json::to_vec(value).map_err(json_error)?;
    text.push(b'\n');
    Ok(text)
}

fn json_error(error: serde_json::Error) -> CliError {
    CliError::io("write JSON", std::io::Error::from(error))
}
