//! `caisson events`.

use std::ops::ControlFlow;
use std::process::ExitCode;

use caisson_node::clock;
use caisson_node::metadata::{Event, EventFilter, EventKind};

use super::logs::moment;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::filters::{FilterArgs, Filters};

/// Show what happens to containers, pods and images, as it happens
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Filters: container=NAME or ID, pod=NAME or ID, image=NAME, event=ACTION, type=KIND"
)]
pub(crate) struct Events {
    /// Also what has happened since then: a moment, or a span such as 10m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Only until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
    /// `json` for an object per line
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json", "jsonl"], default_value = "text")]
    format: String,
    /// Only what is known, then leave
    #[arg(long)]
    no_stream: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

impl Events {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let filters = self.filter.parse(&["container", "pod", "image", "event", "type"])?;
        let engine = context.engine()?;
        let wanted = EventFilter { since: self.since, until: self.until, after: 0 };
        let mut failed = None;
        engine.events(&wanted, !self.no_stream, &mut |event| {
            if !matches(&event, &filters) {
                return ControlFlow::Continue(());
            }
            match self.show(&event) {
                Ok(()) => ControlFlow::Continue(()),
                Err(failure) => {
                    failed = Some(failure);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    fn show(&self, event: &Event) -> Result<(), Failure> {
        if self.format != "text" {
            return output::text(&format!("{}\n", serde_json::to_string(event)?));
        }
        let attributes: Vec<String> =
            event.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        output::text(&output_line(event, &attributes.join(", ")))
    }
}

fn output_line(event: &Event, attributes: &str) -> String {
    let line = format!(
        "{} {} {} {} ({attributes})",
        clock::rfc3339(event.time),
        event.kind.as_str(),
        event.action,
        event.subject
    );
    format!("{}\n", output::printable(&line))
}

fn matches(event: &Event, filters: &Filters) -> bool {
    let attribute = |key: &str| event.attributes.get(key).map(String::as_str);
    let is = |kind: EventKind, wanted: &str| {
        event.kind == kind
            && (attribute("name") == Some(wanted) || event.subject.starts_with(wanted))
    };
    let of = |key: &str, wanted: &str| attribute(key).is_some_and(|it| it.starts_with(wanted));
    filters.any("container", |wanted| is(EventKind::Container, wanted))
        && filters.any("pod", |wanted| is(EventKind::Pod, wanted) || of("pod", wanted))
        && filters.any("image", |wanted| {
            is(EventKind::Image, wanted) || attribute("image") == Some(wanted)
        })
        && filters.any("event", |wanted| event.action == wanted)
        && filters.any("type", |wanted| event.kind.as_str() == wanted)
}
