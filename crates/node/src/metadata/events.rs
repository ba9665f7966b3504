//! The table of events.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{Metadata, MetadataError, during, from_integer, to_integer};

/// How many events are kept.
const KEPT: i64 = 10_000;
/// How many more there may be for a while.
const TRIMMED_EVERY: i64 = 500;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A pod.
    Pod,
}

impl EventKind {
    /// Its name in lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Pod => "pod",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its place in the order of events; 0 until it is in the database.
    #[serde(skip)]
    pub seq: i64,
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// About what.
    pub kind: EventKind,
    /// `create`, `start`, `die`…
    pub action: String,
    /// Id or name of what it is about.
    pub subject: String,
    /// More about it.
    pub attributes: BTreeMap<String, String>,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Not before, nanoseconds since 1970.
    pub since: Option<u64>,
    /// Not after.
    pub until: Option<u64>,
    /// Only after this one, by [`Event::seq`].
    pub after: i64,
}

impl Event {
    /// An event of this moment.
    #[must_use]
    pub fn now(kind: EventKind, action: &str, subject: &str) -> Self {
        Self {
            seq: 0,
            time: crate::clock::now_nanos(),
            kind,
            action: action.to_owned(),
            subject: subject.to_owned(),
            attributes: BTreeMap::new(),
        }
    }

    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.attributes.insert(key.to_owned(), value.into());
        self
    }
}

pub(super) fn insert_event(connection: &Connection, event: &Event) -> Result<(), MetadataError> {
    let attributes = serde_json::to_string(&event.attributes)
        .map_err(|source| MetadataError::Document { id: event.subject.clone(), source })?;
    connection
        .execute(
            "INSERT INTO node_events (time, kind, action, subject, attributes)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                to_integer(event.time),
                event.kind.as_str(),
                event.action,
                event.subject,
                attributes
            ],
        )
        .map_err(during("note an event"))?;
    // A daemon may note for years.
    let newest = connection.last_insert_rowid();
    if newest % TRIMMED_EVERY == 0 { trim(connection, newest) } else { Ok(()) }
}

fn trim(connection: &Connection, newest: i64) -> Result<(), MetadataError> {
    connection
        .execute("DELETE FROM node_events WHERE seq <= ?1", [newest.saturating_sub(KEPT)])
        .map_err(during("forget old events"))?;
    Ok(())
}

impl Metadata {
    /// Notes an event.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn note(&mut self, event: &Event) -> Result<(), MetadataError> {
        insert_event(&self.connection, event)
    }

    /// Events in their order.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, MetadataError> {
        let what = "list events";
        let mut statement = self
            .connection
            .prepare(
                "SELECT seq, time, kind, action, subject, attributes FROM node_events
                 WHERE seq > ?1 AND time >= ?2 AND time <= ?3 ORDER BY seq",
            )
            .map_err(during(what))?;
        let since = filter.since.map_or(0, to_integer);
        let until = filter.until.map_or(i64::MAX, to_integer);
        let rows = statement
            .query_map(params![filter.after, since, until], |row| {
                let kind: String = row.get(2)?;
                let attributes: String = row.get(5)?;
                Ok(Event {
                    seq: row.get(0)?,
                    time: from_integer(row.get(1)?),
                    kind: match kind.as_str() {
                        "image" => EventKind::Image,
                        "volume" => EventKind::Volume,
                        "pod" => EventKind::Pod,
                        _ => EventKind::Container,
                    },
                    action: row.get(3)?,
                    subject: row.get(4)?,
                    attributes: serde_json::from_str(&attributes).unwrap_or_default(),
                })
            })
            .map_err(during(what))?;
        rows.map(|row| row.map_err(during(what))).collect()
    }

    /// The number of the newest event; 0 if there is none.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn newest_event(&self) -> Result<i64, MetadataError> {
        self.connection
            .query_row("SELECT coalesce(max(seq), 0) FROM node_events", [], |row| row.get(0))
            .map_err(during("list events"))
    }

    /// Forgets all but the newest events.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn trim_events(&mut self) -> Result<(), MetadataError> {
        trim(&self.connection, self.newest_event()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_and_by_filter() {
        let temp = tempfile::tempdir().unwrap();
        let mut metadata = Metadata::open(&temp.path().join("meta.db")).unwrap();
        for (time, action) in [(10, "create"), (20, "start"), (30, "die")] {
            let mut event = Event::now(EventKind::Container, action, "c").with("name", "n");
            event.time = time;
            metadata.note(&event).unwrap();
        }
        let actions = |filter: &EventFilter| -> Vec<String> {
            metadata.events(filter).unwrap().into_iter().map(|event| event.action).collect()
        };
        assert_eq!(actions(&EventFilter::default()), ["create", "start", "die"]);
        let middle = EventFilter { since: Some(15), until: Some(25), after: 0 };
        assert_eq!(actions(&middle), ["start"]);
        let after = EventFilter { after: 2, ..EventFilter::default() };
        assert_eq!(actions(&after), ["die"]);
        assert_eq!(metadata.newest_event().unwrap(), 3);
    }

    #[test]
    fn old_events_are_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let mut metadata = Metadata::open(&temp.path().join("meta.db")).unwrap();
        metadata.note(&Event::now(EventKind::Pod, "start", "p")).unwrap();
        let skip = "UPDATE sqlite_sequence SET seq = 10498 WHERE name = 'node_events'";
        assert_eq!(metadata.connection.execute(skip, []).unwrap(), 1);
        for _ in 0..2 {
            metadata.note(&Event::now(EventKind::Pod, "stop", "p")).unwrap();
        }
        let left = metadata.events(&EventFilter::default()).unwrap();
        assert_eq!(left.iter().map(|event| event.seq).collect::<Vec<_>>(), [10_499, 10_500]);
    }
}
