//! The last word of exec and attach, on the error stream.

use serde::Serialize;

use crate::backend::{BackendError, ExitCode};

/// metav1.Status of the Kubernetes API, as far as it is used here.
#[derive(Serialize)]
struct Status {
    metadata: Empty,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Serialize)]
struct Cause {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    message: String,
}

/// What protocol `version` says of this end: JSON since the fourth, before that
/// a text for failures and nothing for success.
pub(crate) fn report(version: u8, end: &Result<ExitCode, BackendError>) -> Vec<u8> {
    let status = match end {
        Ok(ExitCode(0)) if version < 4 => return Vec::new(),
        Ok(ExitCode(0)) => Status {
            metadata: Empty {},
            status: "Success",
            message: None,
            reason: None,
            details: None,
            code: None,
        },
        Ok(ExitCode(code)) => Status {
            metadata: Empty {},
            status: "Failure",
            message: Some(format!(
                "command terminated with non-zero exit code: exit status {code}"
            )),
            reason: Some("NonZeroExitCode"),
            details: Some(Details {
                causes: vec![Cause { reason: Some("ExitCode"), message: code.to_string() }],
            }),
            code: None,
        },
        Err(error) => Status {
            metadata: Empty {},
            status: "Failure",
            message: Some(format!("Internal error occurred: {error}")),
            reason: Some("InternalError"),
            details: Some(Details {
                causes: vec![Cause { reason: None, message: error.to_string() }],
            }),
            code: Some(500),
        },
    };
    if version < 4 {
        return status.message.unwrap_or_default().into_bytes();
    }
    // A structure of strings and numbers can't fail to be written.
    serde_json::to_vec(&status).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: u8, end: &Result<ExitCode, BackendError>) -> String {
        String::from_utf8(report(version, end)).expect("text")
    }

    #[test]
    fn success_is_said_since_version_four() {
        assert_eq!(text(4, &Ok(ExitCode(0))), r#"{"metadata":{},"status":"Success"}"#);
        assert_eq!(text(3, &Ok(ExitCode(0))), "");
    }

    #[test]
    fn exit_codes_are_a_cause() {
        assert_eq!(
            text(4, &Ok(ExitCode(42))),
            r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 42","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#
        );
        assert_eq!(
            text(1, &Ok(ExitCode(42))),
            "command terminated with non-zero exit code: exit status 42"
        );
    }

    #[test]
    fn errors_are_internal_ones() {
        let end = Err(BackendError("no such \"program\"".to_owned()));
        assert_eq!(
            text(5, &end),
            r#"{"metadata":{},"status":"Failure","message":"Internal error occurred: no such \"program\"","reason":"InternalError","details":{"causes":[{"message":"no such \"program\""}]},"code":500}"#
        );
    }
}
