//! Health checks, which nobody would run.

use crate::failure::Failure;

/// Docker's and podman's options about health checks. They are understood so
/// that they can be answered.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct HealthOptions {
    #[arg(long, hide = true)]
    health_cmd: Option<String>,
    #[arg(long, hide = true)]
    health_interval: Option<String>,
    #[arg(long, hide = true)]
    health_on_failure: Option<String>,
    #[arg(long, hide = true)]
    health_retries: Option<String>,
    #[arg(long, hide = true)]
    health_start_interval: Option<String>,
    #[arg(long, hide = true)]
    health_start_period: Option<String>,
    #[arg(long, hide = true)]
    health_timeout: Option<String>,
    /// For the habit: there are none
    #[arg(long, hide = true)]
    no_healthcheck: bool,
}

impl HealthOptions {
    /// Refuses what asks for a health check. To ask for none is fine.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let asked = [
            ("--health-cmd", self.health_cmd.as_ref().filter(|command| *command != "none")),
            ("--health-interval", self.health_interval.as_ref()),
            ("--health-on-failure", self.health_on_failure.as_ref()),
            ("--health-retries", self.health_retries.as_ref()),
            ("--health-start-interval", self.health_start_interval.as_ref()),
            ("--health-start-period", self.health_start_period.as_ref()),
            ("--health-timeout", self.health_timeout.as_ref()),
        ];
        let Some((option, _)) = asked.iter().find(|(_, value)| value.is_some()) else {
            return Ok(());
        };
        Err(Failure::usage(format!("{option}: health checks are not in this build"))
            .hint(
                "no daemon stands by that could run them, and an image's HEALTHCHECK is not run \
                 either",
            )
            .hint("leave it out, and have `caisson exec` run the check from cron or a timer"))
    }
}
