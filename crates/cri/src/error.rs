//! From kinds of failure to gRPC's codes.

use caisson_image::registry::RegistryFailure;
use caisson_image::{FindImageError, PullError, RemoveImageError, StoreError};
pub(crate) use caisson_node::error_chain as chain;
use caisson_node::pods::{ErrorKind, PodError};
use caisson_streaming::RequestError;
use tonic::{Code, Status};

/// The code of a kind of failure.
#[must_use]
pub fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Internal => Code::Unknown,
    }
}

/// What the engine of pods says, with its causes.
#[allow(clippy::needless_pass_by_value, reason = "map_err gives it so")]
pub(crate) fn of_pods(error: PodError) -> Status {
    Status::new(code(error.kind()), chain(&error))
}

/// What the store says.
#[allow(clippy::needless_pass_by_value, reason = "map_err gives it so")]
pub(crate) fn of_store(error: StoreError) -> Status {
    let code = if error.is_no_space() || matches!(error, StoreError::Quota { .. }) {
        Code::ResourceExhausted
    } else {
        Code::Unknown
    };
    Status::new(code, chain(&error))
}

/// Why an image was not found, for calls that need one.
pub(crate) fn of_find(error: FindImageError) -> Status {
    match error {
        FindImageError::NotFound { .. } | FindImageError::OtherPlatform { .. } => {
            Status::not_found(chain(&error))
        }
        FindImageError::Ambiguous { .. } => Status::invalid_argument(chain(&error)),
        FindImageError::Store(error) => of_store(error),
    }
}

/// Why an image was not removed.
pub(crate) fn of_remove(error: RemoveImageError) -> Status {
    match error {
        RemoveImageError::Find(error) => of_find(error),
        RemoveImageError::Store(error) => of_store(error),
        error => Status::failed_precondition(chain(&error)),
    }
}

/// Why an image was not pulled. kubelet takes two reasons from the beginning of
/// the message, of failures whose code is Unknown.
pub(crate) fn of_pull(error: PullError) -> Status {
    let message = chain(&error);
    match error {
        PullError::NotHere(_) | PullError::Platform { .. } => Status::not_found(message),
        PullError::Registry(error) => of_registry(&error.failure, message),
        PullError::Policy(_) => Status::unknown(format!("SignatureValidationFailed: {message}")),
        PullError::Store(error) => of_store(error),
        PullError::Manifest { .. } | PullError::IndexesOnly(_) => {
            Status::failed_precondition(message)
        }
        PullError::Install { .. } => Status::unknown(message),
    }
}

fn of_registry(failure: &RegistryFailure, message: String) -> Status {
    match failure {
        RegistryFailure::NotFound { .. } => Status::not_found(message),
        RegistryFailure::Unauthorized { .. } => Status::unauthenticated(message),
        RegistryFailure::Denied { .. } => Status::permission_denied(message),
        // The registry itself comes last, behind its mirrors.
        RegistryFailure::All(all) => match all.last() {
            Some(last) => of_registry(last, message),
            None => Status::unknown(message),
        },
        RegistryFailure::Connection { .. }
        | RegistryFailure::Timeout { .. }
        | RegistryFailure::RateLimited { .. } => {
            Status::unknown(format!("RegistryUnavailable: {message}"))
        }
        _ => Status::unknown(message),
    }
}

/// Why no streaming address is given.
#[allow(clippy::needless_pass_by_value, reason = "map_err gives it so")]
pub(crate) fn of_streaming(error: RequestError) -> Status {
    let code = match error {
        RequestError::TooMany(_) => Code::ResourceExhausted,
        RequestError::NoRandomness => Code::Unavailable,
        _ => Code::InvalidArgument,
    };
    Status::new(code, error.to_string())
}
