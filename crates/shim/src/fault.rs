//! What a supervisor answers when it can't do what was asked.

use caisson_containerd::ttrpc::{Refusal, code};
use serde::{Deserialize, Serialize};

/// Why a request failed. The message is one line for the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// For programs.
    pub kind: FaultKind,
    /// For people.
    pub message: String,
}

/// Kinds of failure that clients tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The request does not fit what the container is doing.
    WrongStatus,
    /// There is no such process.
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// That can't be done here.
    Unsupported,
    /// The program does not exist in the container (a shell's 127).
    NoProgram,
    /// The program can't be executed (a shell's 126).
    NotExecutable,
    /// The supervisor has too many clients.
    Busy,
    /// A step took longer than it may.
    TimedOut,
    /// A step failed.
    Failed,
}

impl Fault {
    /// A fault of this kind.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What an isolator said, sorted by what it means.
    #[must_use]
    pub fn of_isolator(error: &caisson_isolator::SandboxError) -> Self {
        use caisson_isolator::SandboxError as E;
        let message = error.to_string();
        let kind = match error {
            E::WrongStatus { .. } => FaultKind::WrongStatus,
            E::NotFound(_) => FaultKind::NotFound,
            E::InvalidId(_) | E::Config(_) | E::Unsupported { .. } => FaultKind::Invalid,
            // These are the words of runc, which the seam's engines keep to.
            E::Step { .. } if message.contains("exec: \"") && is_missing(&message) => {
                FaultKind::NoProgram
            }
            E::Step { .. } if message.contains("exec: \"") || message.contains("exec /") => {
                FaultKind::NotExecutable
            }
            _ => FaultKind::Failed,
        };
        Self { kind, message }
    }

    /// The exit code that shells and container engines give for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            FaultKind::NoProgram => 127,
            FaultKind::NotExecutable => 126,
            _ => 125,
        }
    }
}

impl From<&Fault> for Refusal {
    fn from(fault: &Fault) -> Self {
        let code = match fault.kind {
            FaultKind::Invalid => code::INVALID_ARGUMENT,
            FaultKind::TimedOut => code::DEADLINE_EXCEEDED,
            FaultKind::NotFound => code::NOT_FOUND,
            FaultKind::Busy => code::RESOURCE_EXHAUSTED,
            FaultKind::WrongStatus => code::FAILED_PRECONDITION,
            FaultKind::Unsupported => code::UNIMPLEMENTED,
            FaultKind::NoProgram | FaultKind::NotExecutable | FaultKind::Failed => code::UNKNOWN,
        };
        Self { code, message: fault.message.clone() }
    }
}

fn is_missing(message: &str) -> bool {
    message.contains("not found in $PATH") || message.contains("o such file")
}
