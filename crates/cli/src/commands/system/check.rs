//! `caisson system check`: whether this machine has what is needed, and what
//! to install where it has not.

mod cgroups;
mod handlers;
mod kernel;
mod network;
mod programs;
mod storage;

use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, ObjectFormat, listing};

/// Check whether this machine has what containers need
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The exit code is 1 if something is missing that no container runs without."
)]
pub(crate) struct Check {
    /// `json`, or text as if not given
    #[arg(long, value_name = "FORMAT")]
    format: Option<ObjectFormat>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// It is there.
    Ok,
    /// Something works only without it.
    Warning,
    /// Nothing works without it.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { check, verdict: Verdict::Warning, found: found.into(), advice }
    }

    fn missing(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Missing, ..Self::warning(check, found, advice) }
    }
}

impl Check {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let mut findings = kernel::look(context);
        findings.extend(cgroups::look(context));
        findings.extend(storage::look(context));
        findings.extend(programs::look(context));
        findings.extend(network::look(context));
        findings.extend(handlers::look(context));
        match self.format {
            Some(ObjectFormat::Json) => output::json(&findings)?,
            None => output::text(&text(&findings))?,
        }
        let missing = findings.iter().filter(|f| f.verdict == Verdict::Missing).count();
        match missing {
            0 => Ok(()),
            1 => Err(Failure::new("1 thing is missing that containers need")),
            count => Err(Failure::new(format!("{count} things are missing that containers need"))),
        }
    }
}

fn text(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Missing => "MISSING",
        };
        vec![finding.check.to_owned(), verdict.to_owned(), output::printable(&finding.found)]
    };
    let mut text = listing::align(&findings.iter().map(line).collect::<Vec<_>>(), &[]);
    let mut advice = findings.iter().filter_map(|f| Some((f.check, f.advice.as_ref()?))).peekable();
    if advice.peek().is_some() {
        text.push_str("\nWhat to do:\n");
    }
    for (check, advice) in advice {
        text.push_str(&format!("  {check}: {advice}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_below_the_table() {
        let findings = [
            Finding::ok("kernel", "6.1"),
            Finding::missing("nft", "not found", "install nftables"),
        ];
        assert_eq!(
            text(&findings),
            "kernel   ok        6.1\nnft      MISSING   not found\n\n\
             What to do:\n  nft: install nftables\n"
        );
        assert!(!text(&findings[..1]).contains("What to do"));
    }
}
