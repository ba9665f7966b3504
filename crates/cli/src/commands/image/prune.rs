//! `caisson prune`, `caisson image prune`.

use std::time::SystemTime;

use caisson_image::{PruneFilter, PruneReport, Reference};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, ObjectFormat, sizes, times};
use crate::question;

/// Remove images that no container was made from
#[derive(Debug, clap::Args)]
#[command(after_help = "Filters: until=TIME (a date, or a span such as 24h), label=KEY[=VALUE], \
                        label!=KEY[=VALUE]\nWithout --all only images without a name are removed.")]
pub(crate) struct Prune {
    /// Images with names too, not only those without
    #[arg(short, long)]
    all: bool,
    /// Don't ask
    #[arg(short, long)]
    force: bool,
    /// Only those that match all of these
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// `json`, or text as if not given
    #[arg(long, value_name = "FORMAT")]
    format: Option<ObjectFormat>,
}

/// What was removed, as JSON.
#[derive(Serialize)]
struct Removed {
    images: Vec<RemovedImage>,
    reclaimed: u64,
}

#[derive(Serialize)]
struct RemovedImage {
    id: String,
    names: Vec<String>,
}

impl Prune {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let filter = filter(self.all, &self.filter, SystemTime::now())?;
        let what = if self.all {
            "all images that no container was made from"
        } else {
            "all images that have no name and that no container was made from"
        };
        if !self.force && !question::ask(&format!("This removes {what}. Go on?"))? {
            return Ok(());
        }
        let store = context.store()?;
        let report = store.prune(&filter)?;
        for (id, _) in &report.images {
            context.note_image(&store, "delete", id, None);
        }
        match self.format {
            Some(ObjectFormat::Json) => output::json(&as_json(&report)),
            None => output::text(&format!(
                "{}Total reclaimed space: {}\n",
                describe(&report),
                sizes::human(report.reclaimed)
            )),
        }
    }
}

fn as_json(report: &PruneReport) -> Removed {
    let image = |(id, names): &(caisson_image::Digest, Vec<Reference>)| RemovedImage {
        id: id.to_string(),
        names: names.iter().map(Reference::familiar).collect(),
    };
    Removed { images: report.images.iter().map(image).collect(), reclaimed: report.reclaimed }
}

/// Which names and images are gone, a line each.
pub(crate) fn describe(report: &PruneReport) -> String {
    let mut text = String::new();
    for (id, names) in &report.images {
        for name in names {
            text.push_str(&format!("Untagged: {}\n", name.familiar()));
        }
        text.push_str(&format!("Deleted: {id}\n"));
    }
    text
}

/// What `--all` and `--filter` ask for.
pub(crate) fn filter(
    all: bool,
    filters: &[String],
    now: SystemTime,
) -> Result<PruneFilter, Failure> {
    let mut filter = PruneFilter { all, ..PruneFilter::default() };
    for text in filters {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Failure::usage(format!("--filter {text:?}: wants KEY=VALUE")));
        };
        let label = || match value.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (value.to_owned(), None),
        };
        match key {
            "until" => {
                let moment = times::moment(value, now).ok_or_else(|| no_time("until", value))?;
                filter.until = filter.until.into_iter().chain([moment]).min();
            }
            "label" => filter.labels.push(label()),
            "label!" => filter.not_labels.push(label()),
            _ => {
                return Err(Failure::usage(format!("--filter: there is no key {key:?}"))
                    .hint("keys: until, label, label!"));
            }
        }
    }
    Ok(filter)
}

/// The answer to a time that is none.
pub(crate) fn no_time(key: &str, text: &str) -> Failure {
    Failure::usage(format!("--filter {key}={text}: that is no time")).hint(
        "a time is 2026-11-21, 2026-11-21T12:00:00Z, seconds since 1970, or a span until now: \
         90m, 24h, 7d",
    )
}

#[cfg(test)]
mod tests {
    use super::filter;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    fn parse(texts: &[&str]) -> Result<caisson_image::PruneFilter, crate::failure::Failure> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        filter(true, &texts, UNIX_EPOCH + Duration::from_secs(7200))
    }

    #[test]
    fn filters_are_understood() {
        let parsed = parse(&["until=1h", "label=a=b", "label!=c"]).unwrap();
        assert!(parsed.all);
        assert_eq!(parsed.until, Some(UNIX_EPOCH + Duration::from_secs(3600)));
        assert_eq!(parsed.labels, [("a".to_owned(), Some("b".to_owned()))]);
        assert_eq!(parsed.not_labels, [("c".to_owned(), None)]);
        assert!(parse(&[]).unwrap().until.is_none_or(|t: SystemTime| t > UNIX_EPOCH));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["until=soon", "name=x", "label"] {
            assert_eq!(parse(&[text]).unwrap_err().code(), 125, "{text}");
        }
    }
}
