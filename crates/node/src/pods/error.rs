//! Why a request to the pods' engine failed.

use std::time::Duration;

use caisson_image::StoreError;
use caisson_net::NetworkError;
use caisson_shim::FaultKind;
use caisson_shim::client::ClientError;

use crate::handlers::HandlerError;
use crate::metadata::MetadataError;

/// Kinds of failure that a protocol tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such thing.
    NotFound,
    /// The request makes no sense, whatever the node does.
    InvalidArgument,
    /// There is such a thing already, and it is another one.
    AlreadyExists,
    /// Not in this state.
    FailedPrecondition,
    /// Not in this build, on this kernel or by this handler.
    Unimplemented,
    /// It took too long.
    DeadlineExceeded,
    /// Whoever asked has gone.
    Cancelled,
    /// Something that is needed does not answer; a retry may help.
    Unavailable,
    /// Anything else.
    Internal,
}

/// What failed. The message says what was tried on what, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// No pod of that id.
    #[error("no pod has the id {0:?}")]
    NoPod(String),
    /// No container of that id.
    #[error("no container has the id {0:?}")]
    NoContainer(String),
    /// Several ids start so.
    #[error("{0:?} is the start of several ids: give more of it")]
    Ambiguous(String),
    /// No such image on this node.
    #[error("image {0:?} is not on this node: pull it first")]
    NoImage(String),
    /// The request makes no sense.
    #[error("{field}: {reason}")]
    Invalid {
        /// What of the request.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is another one of the same name.
    #[error(
        "{what} {name} is there already, made with other words: {}; remove it, or count the \
         attempt up",
        crate::identity::short(id)
    )]
    Exists {
        /// Pod or container.
        what: &'static str,
        /// Its name.
        name: String,
        /// Which one.
        id: String,
    },
    /// Not in this state.
    #[error("cannot {what} {id}: it is {state}")]
    State {
        /// What was tried.
        what: &'static str,
        /// On what.
        id: String,
        /// What that is doing.
        state: String,
    },
    /// It is not to be had here.
    #[error("{0}")]
    Unsupported(String),
    /// A step took too long.
    #[error("{what} of {id} was not done within {} s", limit.as_secs())]
    Deadline {
        /// The operation and its step.
        what: String,
        /// On what.
        id: String,
        /// How long it might have taken.
        limit: Duration,
    },
    /// Nobody waits for it any more.
    #[error("{what} of {id} was ended: nobody waits for it any more")]
    Abandoned {
        /// The operation.
        what: String,
        /// On what.
        id: String,
    },
    /// An earlier attempt of the same operation failed.
    #[error("{message}")]
    Joined {
        /// What kind.
        kind: ErrorKind,
        /// What it said.
        message: String,
    },
    /// The handler.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The database.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The network.
    #[error("cannot {what} the network of pod {pod}: {source}")]
    Network {
        /// Set up or take back.
        what: &'static str,
        /// Whose.
        pod: String,
        /// Why.
        source: Box<NetworkError>,
    },
    /// The images.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The supervisor.
    #[error(transparent)]
    Supervisor(#[from] ClientError),
    /// The kernel, or a file.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Anything else that failed below.
    #[error("cannot {what}: {reason}")]
    Failed {
        /// What was tried, on what.
        what: String,
        /// Why.
        reason: String,
    },
}

impl PodError {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoPod(_) | Self::NoContainer(_) | Self::NoImage(_) => ErrorKind::NotFound,
            Self::Ambiguous(_) | Self::Invalid { .. } => ErrorKind::InvalidArgument,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::State { .. } => ErrorKind::FailedPrecondition,
            Self::Unsupported(_) => ErrorKind::Unimplemented,
            Self::Deadline { .. } => ErrorKind::DeadlineExceeded,
            Self::Abandoned { .. } => ErrorKind::Cancelled,
            Self::Joined { kind, .. } => *kind,
            Self::Handler(error) => match error {
                HandlerError::Unknown { .. } => ErrorKind::InvalidArgument,
                HandlerError::NotInThisBuild { .. } => ErrorKind::Unimplemented,
                HandlerError::Malformed { .. }
                | HandlerError::NoProgram { .. }
                | HandlerError::NoShim { .. } => ErrorKind::FailedPrecondition,
            },
            Self::Supervisor(ClientError::Fault(fault)) => match fault.kind {
                FaultKind::WrongStatus => ErrorKind::FailedPrecondition,
                FaultKind::NotFound => ErrorKind::NotFound,
                FaultKind::Invalid => ErrorKind::InvalidArgument,
                FaultKind::NoProgram | FaultKind::NotExecutable => ErrorKind::Internal,
                _ => ErrorKind::Unavailable,
            },
            Self::Supervisor(_) => ErrorKind::Unavailable,
            Self::Metadata(_)
            | Self::Network { .. }
            | Self::Store(_)
            | Self::Io { .. }
            | Self::Failed { .. } => ErrorKind::Internal,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn failed(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Failed { what: what.into(), reason: reason.to_string() }
    }

    pub(crate) fn io(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }
}
