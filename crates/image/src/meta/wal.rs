//! The write-ahead log that lets several processes use one database.

use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

/// How long others may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has `connection`'s database keep a write-ahead log. The first two who open
/// a new database may meet here; SQLite then does not wait as it does
/// elsewhere, but says at once that it is busy.
///
/// # Errors
/// SQLite's; that it is busy after half a minute only.
pub fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    let began = Instant::now();
    loop {
        let result = connection.execute_batch("PRAGMA journal_mode=WAL;");
        match result {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && began.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..60 {
            let path = dir.path().join(format!("{round}.db"));
            let start = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let connection = Connection::open(&path).unwrap();
                        connection.busy_timeout(PATIENCE).unwrap();
                        start.wait();
                        use_write_ahead_log(&connection).unwrap();
                        connection
                            .execute_batch(
                                "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS t (a); COMMIT;",
                            )
                            .unwrap();
                    });
                }
            });
        }
    }
}
