//! The table of containers.

use rusqlite::{OptionalExtension as _, Row, params};

use super::events::insert_event;
use super::record::{ContainerRecord, Outcome, Phase};
use super::{Event, Metadata, MetadataError, during, from_integer, to_integer};
use crate::identity::short;

const COLUMNS: &str = "id, name, phase, created, document, outcome";

struct Raw {
    id: String,
    name: String,
    phase: String,
    created: i64,
    document: String,
    outcome: String,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        id: row.get(0)?,
        name: row.get(1)?,
        phase: row.get(2)?,
        created: row.get(3)?,
        document: row.get(4)?,
        outcome: row.get(5)?,
    })
}

fn record(raw: Raw) -> Result<ContainerRecord, MetadataError> {
    let fail = |source| MetadataError::Document { id: raw.id.clone(), source };
    Ok(ContainerRecord {
        phase: Phase::from_name(&raw.phase),
        created: from_integer(raw.created),
        document: serde_json::from_str(&raw.document).map_err(fail)?,
        outcome: serde_json::from_str(&raw.outcome).map_err(fail)?,
        id: raw.id,
        name: raw.name,
    })
}

fn json<T: serde::Serialize>(id: &str, value: &T) -> Result<String, MetadataError> {
    serde_json::to_string(value)
        .map_err(|source| MetadataError::Document { id: id.to_owned(), source })
}

impl Metadata {
    /// Adds a container.
    ///
    /// # Errors
    /// [`MetadataError::NameTaken`].
    pub fn insert(&mut self, new: &ContainerRecord) -> Result<(), MetadataError> {
        let what = "add a container";
        let document = json(&new.id, &new.document)?;
        let outcome = json(&new.id, &new.outcome)?;
        let transaction = self.immediate(what)?;
        let holder: Option<String> = transaction
            .query_row("SELECT id FROM node_containers WHERE name = ?1", [&new.name], |r| r.get(0))
            .optional()
            .map_err(during(what))?;
        if let Some(holder) = holder {
            return Err(MetadataError::NameTaken { name: new.name.clone(), holder });
        }
        transaction
            .execute(
                "INSERT INTO node_containers (id, name, phase, created, document, outcome)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    new.id,
                    new.name,
                    new.phase.as_str(),
                    to_integer(new.created),
                    document,
                    outcome
                ],
            )
            .map_err(during(what))?;
        transaction.commit().map_err(during(what))
    }

    /// Moves a container on, with the events that this makes, all or nothing.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn advance(
        &mut self,
        id: &str,
        phase: Phase,
        outcome: &Outcome,
        events: &[Event],
    ) -> Result<(), MetadataError> {
        let what = "note a container's state";
        let outcome = json(id, outcome)?;
        let transaction = self.immediate(what)?;
        transaction
            .execute(
                "UPDATE node_containers SET phase = ?2, outcome = ?3 WHERE id = ?1",
                params![id, phase.as_str(), outcome],
            )
            .map_err(during(what))?;
        for event in events {
            insert_event(&transaction, event)?;
        }
        transaction.commit().map_err(during(what))
    }

    /// Replaces what lasts of a container.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn amend(&mut self, record: &ContainerRecord) -> Result<(), MetadataError> {
        let document = json(&record.id, &record.document)?;
        self.connection
            .execute(
                "UPDATE node_containers SET document = ?2 WHERE id = ?1",
                params![record.id, document],
            )
            .map_err(during("change a container"))?;
        Ok(())
    }

    /// Marks a container as being removed. Its name is free from here on.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn begin_removal(&mut self, id: &str) -> Result<(), MetadataError> {
        self.connection
            .execute(
                "UPDATE node_containers SET phase = ?2, name = id WHERE id = ?1",
                params![id, Phase::Removing.as_str()],
            )
            .map_err(during("begin to remove a container"))?;
        Ok(())
    }

    /// Forgets a container.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn forget(&mut self, id: &str, event: Option<&Event>) -> Result<(), MetadataError> {
        let what = "remove a container";
        let transaction = self.immediate(what)?;
        transaction
            .execute("DELETE FROM node_containers WHERE id = ?1", [id])
            .map_err(during(what))?;
        if let Some(event) = event {
            insert_event(&transaction, event)?;
        }
        transaction.commit().map_err(during(what))
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`MetadataError::NameTaken`].
    pub fn rename(&mut self, id: &str, name: &str) -> Result<(), MetadataError> {
        let what = "rename a container";
        let transaction = self.immediate(what)?;
        let holder: Option<String> = transaction
            .query_row(
                "SELECT id FROM node_containers WHERE name = ?1 AND id <> ?2",
                params![name, id],
                |r| r.get(0),
            )
            .optional()
            .map_err(during(what))?;
        if let Some(holder) = holder {
            return Err(MetadataError::NameTaken { name: name.to_owned(), holder });
        }
        transaction
            .execute("UPDATE node_containers SET name = ?2 WHERE id = ?1", params![id, name])
            .map_err(during(what))?;
        transaction.commit().map_err(during(what))
    }

    /// The container with exactly this id.
    ///
    /// # Errors
    /// [`MetadataError::NotFound`].
    pub fn get(&self, id: &str) -> Result<ContainerRecord, MetadataError> {
        self.connection
            .query_row(&format!("SELECT {COLUMNS} FROM node_containers WHERE id = ?1"), [id], raw)
            .optional()
            .map_err(during("look up a container"))?
            .map_or_else(|| Err(MetadataError::NotFound(id.to_owned())), record)
    }

    /// The container of that name, or whose id starts so. What is being made
    /// or removed is not found.
    ///
    /// # Errors
    /// [`MetadataError::NotFound`], [`MetadataError::Ambiguous`].
    pub fn find(&self, name: &str) -> Result<ContainerRecord, MetadataError> {
        let mut found = self.query(
            "WHERE phase NOT IN ('creating', 'removing') AND (name = ?1 OR id = ?1)",
            [name],
        )?;
        let hex = !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit());
        if found.is_empty() && hex {
            found = self.query(
                "WHERE phase NOT IN ('creating', 'removing')
                 AND id >= ?1 AND substr(id, 1, length(?1)) = ?1 LIMIT 10",
                [name],
            )?;
        }
        // A name wins over an id, should one container be called like another's id.
        if let Some(at) = found.iter().position(|record| record.name == name) {
            return Ok(found.swap_remove(at));
        }
        match (found.pop(), found.as_slice()) {
            (Some(only), []) => Ok(only),
            (None, _) => Err(MetadataError::NotFound(name.to_owned())),
            (Some(last), others) => Err(MetadataError::Ambiguous {
                prefix: name.to_owned(),
                ids: others
                    .iter()
                    .chain(std::iter::once(&last))
                    .map(|record| short(&record.id).to_owned())
                    .collect(),
            }),
        }
    }

    /// All containers, the newest first.
    ///
    /// # Errors
    /// [`MetadataError::Statement`], [`MetadataError::Document`].
    pub fn list(&self) -> Result<Vec<ContainerRecord>, MetadataError> {
        self.query("ORDER BY created DESC", [])
    }

    /// Ids and phases of those that somebody may have to clean up after.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn unsettled(&self) -> Result<Vec<(String, Phase)>, MetadataError> {
        let what = "list containers";
        let mut statement = self
            .connection
            .prepare(
                "SELECT id, phase FROM node_containers
                 WHERE phase IN ('creating', 'removing', 'running')",
            )
            .map_err(during(what))?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
            .map_err(during(what))?;
        rows.map(|row| row.map(|(id, phase)| (id, Phase::from_name(&phase))).map_err(during(what)))
            .collect()
    }

    /// Whether there is an entry of that id, in whatever phase: a container, a
    /// pod, or a pod's container.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn knows(&self, id: &str) -> Result<bool, MetadataError> {
        self.connection
            .query_row(
                "SELECT 1 FROM node_containers WHERE id = ?1
                 UNION ALL SELECT 1 FROM node_pods WHERE id = ?1
                 UNION ALL SELECT 1 FROM node_pod_containers WHERE id = ?1",
                [id],
                |_| Ok(()),
            )
            .optional()
            .map(|found| found.is_some())
            .map_err(during("look up a container"))
    }

    fn query<P: rusqlite::Params>(
        &self,
        rest: &str,
        params: P,
    ) -> Result<Vec<ContainerRecord>, MetadataError> {
        let what = "list containers";
        let mut statement = self
            .connection
            .prepare(&format!("SELECT {COLUMNS} FROM node_containers {rest}"))
            .map_err(during(what))?;
        let rows = statement.query_map(params, raw).map_err(during(what))?;
        rows.map(|row| row.map_err(during(what)).and_then(record)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Document, Program};
    use super::*;
    use crate::metadata::EventKind;
    use crate::request::ContainerRequest;

    fn open(dir: &std::path::Path) -> Metadata {
        Metadata::open(&dir.join("meta.db")).unwrap()
    }

    fn container(id: &str, name: &str) -> ContainerRecord {
        ContainerRecord {
            id: id.to_owned(),
            name: name.to_owned(),
            phase: Phase::Created,
            created: 5,
            document: Document {
                request: ContainerRequest::default(),
                handler: "native".to_owned(),
                image: caisson_image::Digest::sha256(b""),
                program: Program::default(),
                mounts: Vec::new(),
            },
            outcome: Outcome::default(),
        }
    }

    #[test]
    fn names_are_unique_and_found_by_name_id_and_prefix() {
        let temp = tempfile::tempdir().unwrap();
        let mut metadata = open(temp.path());
        metadata.insert(&container("abc1", "one")).unwrap();
        metadata.insert(&container("abd2", "two")).unwrap();
        let taken = metadata.insert(&container("ffff", "one")).unwrap_err();
        assert!(matches!(taken, MetadataError::NameTaken { holder, .. } if holder == "abc1"));
        for name in ["one", "abc1", "abc"] {
            assert_eq!(metadata.find(name).unwrap().id, "abc1");
        }
        assert!(
            matches!(metadata.find("ab"), Err(MetadataError::Ambiguous { ids, .. }) if ids.len() == 2)
        );
        for name in ["", "x", "on", "abc12", "a%"] {
            assert!(matches!(metadata.find(name), Err(MetadataError::NotFound(_))), "{name}");
        }
        metadata.rename("abc1", "three").unwrap();
        assert!(metadata.rename("abc1", "two").is_err());
        assert_eq!(metadata.find("three").unwrap().id, "abc1");
    }

    #[test]
    fn a_removal_frees_the_name_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let mut metadata = open(temp.path());
        metadata.insert(&container("abc1", "one")).unwrap();
        metadata.begin_removal("abc1").unwrap();
        assert!(metadata.find("one").is_err() && metadata.find("abc1").is_err());
        metadata.insert(&container("abc2", "one")).unwrap();
        assert_eq!(metadata.unsettled().unwrap(), [("abc1".to_owned(), Phase::Removing)]);
        metadata.forget("abc1", None).unwrap();
        assert!(!metadata.knows("abc1").unwrap() && metadata.knows("abc2").unwrap());
    }

    #[test]
    fn other_connections_see_changes() {
        let temp = tempfile::tempdir().unwrap();
        let mut metadata = open(temp.path());
        let other = open(temp.path());
        let before = other.data_version().unwrap();
        metadata.insert(&container("abc1", "one")).unwrap();
        let outcome = Outcome { exit_code: 3, ..Outcome::default() };
        let event = Event::now(EventKind::Container, "die", "abc1");
        metadata.advance("abc1", Phase::Exited, &outcome, &[event]).unwrap();
        assert_ne!(other.data_version().unwrap(), before);
        let record = other.get("abc1").unwrap();
        assert_eq!((record.phase, record.outcome.exit_code), (Phase::Exited, 3));
    }
}
