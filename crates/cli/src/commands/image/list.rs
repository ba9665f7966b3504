//! `caisson images`, `caisson image ls`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use caisson_image::{ImageRecord, Reference};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::filters::{FilterArgs, Filters};
use crate::output::listing::{Column, ListArgs, Show};
use crate::output::{patterns, sizes, times};

/// List the images that are here
#[derive(Debug, clap::Args)]
#[command(after_help = "Filters: dangling=true|false, reference=PATTERN, label=KEY[=VALUE], \
                        before=IMAGE, since=IMAGE, until=TIME\n\
                        Columns: repository, tag, id, created, size, name, digest, platform, \
                        created-at, pulled-at, containers, labels\n\
                        Sizes are those of the compressed layers.")]
pub(crate) struct List {
    /// Only those whose name matches, such as `nginx` or `*/web:1.*`
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Show digests of manifests too
    #[arg(long)]
    digests: bool,
    /// All are always shown; for the habit
    #[arg(short, long, hide = true)]
    all: bool,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// An image by one of its names.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    name: Option<String>,
    repository: Option<String>,
    tag: Option<String>,
    digest: String,
    platform: String,
    created: Option<String>,
    pulled: String,
    size: u64,
    containers: Vec<String>,
    labels: BTreeMap<String, String>,
    #[serde(skip)]
    created_at: Option<SystemTime>,
}

const NONE: &str = "<none>";

const COLUMNS: [Column<Row>; 12] = [
    Column::<Row>::new("repository", "REPOSITORY", |row, _| or_none(row.repository.as_deref())),
    Column::<Row>::new("tag", "TAG", |row, _| or_none(row.tag.as_deref())),
    Column::<Row>::new("id", "IMAGE ID", short_id),
    Column::<Row>::new("created", "CREATED", |row, show| match row.created_at {
        Some(then) => times::ago(then, show.now),
        None => "N/A".to_owned(),
    }),
    Column::<Row>::new("size", "SIZE", |row, _| sizes::human(row.size)).number(),
    Column::<Row>::new("name", "NAME", |row, _| or_none(row.name.as_deref())).on_request(),
    DIGEST,
    Column::<Row>::new("platform", "PLATFORM", |row, _| row.platform.clone()).on_request(),
    Column::<Row>::new("created-at", "CREATED AT", |row, _| {
        row.created.clone().unwrap_or_default()
    })
    .on_request(),
    Column::<Row>::new("pulled-at", "PULLED AT", |row, _| row.pulled.clone()).on_request(),
    Column::<Row>::new("containers", "CONTAINERS", |row, _| row.containers.len().to_string())
        .number()
        .on_request(),
    Column::<Row>::new("labels", "LABELS", |row, _| {
        let labels = row.labels.iter().map(|(key, value)| format!("{key}={value}"));
        labels.collect::<Vec<_>>().join(",")
    })
    .on_request(),
];

const DIGEST: Column<Row> =
    Column::<Row>::new("digest", "DIGEST", |row, _| row.digest.clone()).on_request();

const KEYS: [&str; 6] = ["dangling", "reference", "label", "before", "since", "until"];

fn or_none(text: Option<&str>) -> String {
    text.unwrap_or(NONE).to_owned()
}

fn short_id(row: &Row, show: Show) -> String {
    if show.full { row.id.clone() } else { super::short(&row.id) }
}

impl List {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let filters = self.filter.parse(&KEYS)?;
        let store = context.store()?;
        let chosen = Chosen::new(&filters, self.name.as_deref(), &store)?;
        let mut rows = Vec::new();
        for image in store.images()?.iter().filter(|image| chosen.image(image)) {
            let names: Vec<_> = image.names.iter().filter(|name| chosen.name(name)).collect();
            if image.names.is_empty() && chosen.nameless() {
                rows.push(row(image, None));
            }
            rows.extend(names.into_iter().map(|name| row(image, Some(name))));
        }
        let mut columns = COLUMNS;
        if self.digests {
            columns.iter_mut().filter(|c| c.name == DIGEST.name).for_each(|c| c.shown = true);
        }
        self.list.print(&columns, &rows, short_id)
    }
}

fn row(image: &ImageRecord, name: Option<&Reference>) -> Row {
    let familiar = name.map(Reference::familiar);
    let split = familiar.as_deref().and_then(|text| text.rsplit_once(':'));
    Row {
        id: image.id.to_string(),
        repository: split.map(|(repository, _)| repository.to_owned()),
        tag: split.map(|(_, tag)| tag.to_owned()),
        name: familiar,
        digest: image.manifest.digest.to_string(),
        platform: image.platform.to_string(),
        created: image.created.map(times::rfc3339),
        pulled: times::rfc3339(image.pulled),
        size: image.size,
        containers: image.containers.clone(),
        labels: image.config.config.labels.clone(),
        created_at: image.created,
    }
}

/// Which images and names are shown.
struct Chosen<'a> {
    filters: &'a Filters,
    pattern: Option<&'a str>,
    dangling: Option<bool>,
    before: Option<SystemTime>,
    since: Option<SystemTime>,
}

impl<'a> Chosen<'a> {
    fn new(
        filters: &'a Filters,
        pattern: Option<&'a str>,
        store: &caisson_image::Store,
    ) -> Result<Self, Failure> {
        let age = |image: &ImageRecord| image.created.unwrap_or(image.pulled);
        let (mut before, mut since) = (None, None);
        for name in filters.values("before") {
            before = before.into_iter().chain([age(&store.find(name)?)]).min();
        }
        for text in filters.values("until") {
            let moment = times::moment(text, SystemTime::now());
            let moment = moment.ok_or_else(|| super::prune::no_time("until", text))?;
            before = before.into_iter().chain([moment]).min();
        }
        for name in filters.values("since") {
            since = since.into_iter().chain([age(&store.find(name)?)]).max();
        }
        let mut dangling = None;
        for text in filters.values("dangling") {
            let message = || Failure::usage(format!("--filter dangling={text}: true or false"));
            dangling = Some(text.parse().map_err(|_| message())?);
        }
        Ok(Self { filters, pattern, dangling, before, since })
    }

    fn image(&self, image: &ImageRecord) -> bool {
        let age = image.created.unwrap_or(image.pulled);
        self.dangling.is_none_or(|wanted| wanted == image.names.is_empty())
            && self.before.is_none_or(|limit| age < limit)
            && self.since.is_none_or(|limit| age > limit)
            && self.filters.labels(&image.config.config.labels)
    }

    fn name(&self, name: &Reference) -> bool {
        self.pattern.is_none_or(|pattern| matches(pattern, name))
            && self.filters.any("reference", |pattern| matches(pattern, name))
    }

    fn nameless(&self) -> bool {
        self.pattern.is_none() && self.filters.values("reference").next().is_none()
    }
}

/// Whether `pattern` matches the name in full or as typed, with or without
/// its tag.
fn matches(pattern: &str, name: &Reference) -> bool {
    let (full, familiar) = (name.to_string(), name.familiar());
    [full, familiar].iter().any(|text| {
        let repository = text.rsplit_once(':').map_or(text.as_str(), |(repository, _)| repository);
        patterns::matches(pattern, text) || patterns::matches(pattern, repository)
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names_match_in_any_of_their_forms() {
        let name = "docker.io/library/nginx:1.2".parse().unwrap();
        for pattern in ["nginx", "nginx:1.2", "ngin*", "docker.io/library/nginx", "*:1.*"] {
            assert!(matches(pattern, &name), "{pattern}");
        }
        for pattern in ["ngin", "nginx:1", "x*"] {
            assert!(!matches(pattern, &name), "{pattern}");
        }
    }
}
