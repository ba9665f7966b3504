//! When a container is started again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::OptionError;

/// What follows the end of a container's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// It is started again, whatever its exit status.
    Always,
    /// As `Always`, but not after the user stopped it.
    UnlessStopped,
    /// It is started again if it failed.
    OnFailure {
        /// At most so often; 0 is without end.
        retries: u32,
    },
}

impl FromStr for RestartPolicy {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let reason = "a restart policy is no, always, unless-stopped or on-failure[:retries]";
        match text.split_once(':') {
            None => match text {
                "no" | "" => Ok(Self::No),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                "on-failure" => Ok(Self::OnFailure { retries: 0 }),
                _ => Err(OptionError::new(text, reason)),
            },
            Some(("on-failure", retries)) => match retries.parse() {
                Ok(retries) => Ok(Self::OnFailure { retries }),
                Err(_) => Err(OptionError::new(text, reason)),
            },
            Some(_) => Err(OptionError::new(text, reason)),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure { retries: 0 } => f.write_str("on-failure"),
            Self::OnFailure { retries } => write!(f, "on-failure:{retries}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_and_written() {
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:3"] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        for bad in ["never", "always:1", "on-failure:-1", "on-failure:x"] {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad}");
        }
    }
}
