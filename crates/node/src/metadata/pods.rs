//! The tables of pods and of their containers.

use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::pod_record::{PodContainerRecord, PodPhase, PodRecord};
use super::{
    ContainerOutcome, Metadata, MetadataError, Phase, PodOutcome, during, from_integer, to_integer,
};

fn json<T: Serialize>(id: &str, value: &T) -> Result<String, MetadataError> {
    serde_json::to_string(value)
        .map_err(|source| MetadataError::Document { id: id.to_owned(), source })
}

fn parsed<T: DeserializeOwned>(id: &str, text: &str) -> Result<T, MetadataError> {
    serde_json::from_str(text)
        .map_err(|source| MetadataError::Document { id: id.to_owned(), source })
}

/// Rows that this version can't read are left out of lists, with their ids.
#[derive(Debug)]
pub struct Listed<T> {
    /// What was read.
    pub records: Vec<T>,
    /// Ids of what could not be.
    pub unreadable: Vec<String>,
}

impl<T> Listed<T> {
    fn push(&mut self, id: String, record: Result<T, MetadataError>) {
        match record {
            Ok(record) => self.records.push(record),
            Err(_) => self.unreadable.push(id),
        }
    }
}

impl Metadata {
    /// Adds a pod.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn insert_pod(&mut self, new: &PodRecord) -> Result<(), MetadataError> {
        let (document, outcome) = (json(&new.id, &new.document)?, json(&new.id, &new.outcome)?);
        let created = to_integer(new.created);
        self.connection
            .execute(
                "INSERT INTO node_pods (id, phase, created, document, outcome)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![new.id, new.phase.as_str(), created, document, outcome],
            )
            .map_err(during("add a pod"))?;
        Ok(())
    }

    /// Moves a pod on.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn advance_pod(
        &mut self,
        id: &str,
        phase: PodPhase,
        outcome: &PodOutcome,
    ) -> Result<(), MetadataError> {
        let outcome = json(id, outcome)?;
        self.connection
            .execute(
                "UPDATE node_pods SET phase = ?2, outcome = ?3 WHERE id = ?1",
                params![id, phase.as_str(), outcome],
            )
            .map_err(during("note a pod's state"))?;
        Ok(())
    }

    /// Replaces what lasts of a pod.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn amend_pod(&mut self, record: &PodRecord) -> Result<(), MetadataError> {
        let document = json(&record.id, &record.document)?;
        self.connection
            .execute(
                "UPDATE node_pods SET document = ?2 WHERE id = ?1",
                params![record.id, document],
            )
            .map_err(during("change a pod"))?;
        Ok(())
    }

    /// Forgets a pod.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn forget_pod(&mut self, id: &str) -> Result<(), MetadataError> {
        self.connection
            .execute("DELETE FROM node_pods WHERE id = ?1", [id])
            .map_err(during("remove a pod"))?;
        Ok(())
    }

    /// All pods.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn list_pods(&self) -> Result<Listed<PodRecord>, MetadataError> {
        let what = "list pods";
        let mut statement = self
            .connection
            .prepare("SELECT id, phase, created, document, outcome FROM node_pods")
            .map_err(during(what))?;
        let rows = statement
            .query_map([], |row| {
                let (id, phase): (String, String) = (row.get(0)?, row.get(1)?);
                let texts: (String, String) = (row.get(3)?, row.get(4)?);
                Ok((id, phase, row.get::<_, i64>(2)?, texts))
            })
            .map_err(during(what))?;
        let mut listed = Listed { records: Vec::new(), unreadable: Vec::new() };
        for row in rows {
            let (id, phase, created, (document, outcome)) = row.map_err(during(what))?;
            let record = parsed(&id, &document).and_then(|document| {
                Ok(PodRecord {
                    id: id.clone(),
                    phase: PodPhase::from_name(&phase),
                    created: from_integer(created),
                    document,
                    outcome: parsed(&id, &outcome)?,
                })
            });
            listed.push(id, record);
        }
        Ok(listed)
    }

    /// How far a pod has come, if there is such a one.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn pod_phase(&self, id: &str) -> Result<Option<PodPhase>, MetadataError> {
        self.connection
            .query_row("SELECT phase FROM node_pods WHERE id = ?1", [id], |row| {
                row.get::<_, String>(0)
            })
            .optional()
            .map(|phase| phase.map(|phase| PodPhase::from_name(&phase)))
            .map_err(during("look up a pod"))
    }

    /// Adds a container of a pod.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn insert_pod_container(&mut self, new: &PodContainerRecord) -> Result<(), MetadataError> {
        let (document, outcome) = (json(&new.id, &new.document)?, json(&new.id, &new.outcome)?);
        let (phase, created) = (new.phase.as_str(), to_integer(new.created));
        self.connection
            .execute(
                "INSERT INTO node_pod_containers (id, pod, phase, created, document, outcome)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![new.id, new.pod, phase, created, document, outcome],
            )
            .map_err(during("add a pod's container"))?;
        Ok(())
    }

    /// Moves a container of a pod on.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn advance_pod_container(
        &mut self,
        id: &str,
        phase: Phase,
        outcome: &ContainerOutcome,
    ) -> Result<(), MetadataError> {
        let outcome = json(id, outcome)?;
        self.connection
            .execute(
                "UPDATE node_pod_containers SET phase = ?2, outcome = ?3 WHERE id = ?1",
                params![id, phase.as_str(), outcome],
            )
            .map_err(during("note the state of a pod's container"))?;
        Ok(())
    }

    /// Replaces what lasts of a container of a pod.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn amend_pod_container(
        &mut self,
        record: &PodContainerRecord,
    ) -> Result<(), MetadataError> {
        let document = json(&record.id, &record.document)?;
        self.connection
            .execute(
                "UPDATE node_pod_containers SET document = ?2 WHERE id = ?1",
                params![record.id, document],
            )
            .map_err(during("change a pod's container"))?;
        Ok(())
    }

    /// Forgets a container of a pod.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn forget_pod_container(&mut self, id: &str) -> Result<(), MetadataError> {
        self.connection
            .execute("DELETE FROM node_pod_containers WHERE id = ?1", [id])
            .map_err(during("remove a pod's container"))?;
        Ok(())
    }

    /// All containers of pods.
    ///
    /// # Errors
    /// [`MetadataError::Statement`].
    pub fn list_pod_containers(&self) -> Result<Listed<PodContainerRecord>, MetadataError> {
        let what = "list containers of pods";
        let mut statement = self
            .connection
            .prepare("SELECT id, pod, phase, created, document, outcome FROM node_pod_containers")
            .map_err(during(what))?;
        let rows = statement
            .query_map([], |row| {
                let (id, pod, phase): (String, String, String) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                let texts: (String, String) = (row.get(4)?, row.get(5)?);
                Ok((id, pod, phase, row.get::<_, i64>(3)?, texts))
            })
            .map_err(during(what))?;
        let mut listed = Listed { records: Vec::new(), unreadable: Vec::new() };
        for row in rows {
            let (id, pod, phase, created, (document, outcome)) = row.map_err(during(what))?;
            let record = parsed(&id, &document).and_then(|document| {
                Ok(PodContainerRecord {
                    id: id.clone(),
                    pod,
                    phase: Phase::from_name(&phase),
                    created: from_integer(created),
                    document,
                    outcome: parsed(&id, &outcome)?,
                })
            });
            listed.push(id, record);
        }
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{ContainerDocument, PodDocument};
    use crate::pods::request::{PodContainerRequest, PodRequest};

    fn pod(id: &str) -> PodRecord {
        PodRecord {
            id: id.to_owned(),
            phase: PodPhase::Creating,
            created: 7,
            document: PodDocument { request: PodRequest::default(), handler: "native".to_owned() },
            outcome: PodOutcome::default(),
        }
    }

    #[test]
    fn pods_and_containers_are_kept_and_known() {
        let temp = tempfile::tempdir().unwrap();
        let mut metadata = Metadata::open(&temp.path().join("meta.db")).unwrap();
        metadata.insert_pod(&pod("p1")).unwrap();
        assert!(metadata.insert_pod(&pod("p1")).is_err());
        metadata.advance_pod("p1", PodPhase::Ready, &PodOutcome::default()).unwrap();
        let container = PodContainerRecord {
            id: "c1".to_owned(),
            pod: "p1".to_owned(),
            phase: Phase::Created,
            created: 8,
            document: ContainerDocument {
                request: PodContainerRequest::default(),
                image: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
                image_ref: String::new(),
                volume_refs: Vec::new(),
                user: crate::pods::view::ContainerUser::default(),
                stop_signal: 15,
                log_path: String::new(),
            },
            outcome: ContainerOutcome::default(),
        };
        metadata.insert_pod_container(&container).unwrap();
        assert_eq!(metadata.list_pod_containers().unwrap().records, [container]);
        assert_eq!(metadata.list_pods().unwrap().records[0].phase, PodPhase::Ready);
        assert_eq!(metadata.pod_phase("p1").unwrap(), Some(PodPhase::Ready));
        // The command, which collects what it does not know, must know these.
        assert!(metadata.knows("p1").unwrap() && metadata.knows("c1").unwrap());
        metadata.forget_pod_container("c1").unwrap();
        metadata.forget_pod("p1").unwrap();
        assert!(!metadata.knows("p1").unwrap() && !metadata.knows("c1").unwrap());
    }

    #[test]
    fn a_database_of_the_first_version_gets_the_new_tables() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("meta.db");
        drop(Metadata::open(&path).unwrap());
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(
            "DROP TABLE node_pods; ALTER TABLE node_volumes DROP COLUMN labels;
             UPDATE node_version SET version = 1",
        )
        .unwrap();
        drop(old);
        let mut metadata = Metadata::open(&path).unwrap();
        metadata.insert_pod(&pod("p")).unwrap();
        drop(metadata);
        let newer = rusqlite::Connection::open(&path).unwrap();
        newer.execute_batch("UPDATE node_version SET version = 99").unwrap();
        assert!(matches!(Metadata::open(&path), Err(MetadataError::Newer { found: 99, .. })));
    }

    #[test]
    fn rows_of_another_version_do_not_hide_the_others() {
        let temp = tempfile::tempdir().unwrap();
        let mut metadata = Metadata::open(&temp.path().join("meta.db")).unwrap();
        metadata.insert_pod(&pod("good")).unwrap();
        metadata
            .connection
            .execute(
                "INSERT INTO node_pods (id, phase, created, document, outcome)
                 VALUES ('bad', 'ready', 1, '{}', '{}')",
                [],
            )
            .unwrap();
        let listed = metadata.list_pods().unwrap();
        assert_eq!(listed.records.len(), 1);
        assert_eq!(listed.unreadable, ["bad"]);
    }
}
