//! Lists: a table, chosen columns of it, only the keys, or JSON.

use std::time::SystemTime;

use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// Options of every command that lists.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ListArgs {
    /// `table`, `json` (an array), `jsonl` (an object per line), or the
    /// columns to show, such as `name,id,size`
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Leave out the line with the columns' names
    #[arg(long, visible_alias = "noheading")]
    pub(crate) no_header: bool,
    /// Only what names each, one a line
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show ids and commands in full
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

/// How cells are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Show {
    /// Nothing is shortened.
    pub(crate) full: bool,
    /// What ages are counted to.
    pub(crate) now: SystemTime,
}

/// One column of a list of `T`.
pub(crate) struct Column<T: 'static> {
    /// What `--format` calls it.
    pub(crate) name: &'static str,
    /// What its header says.
    pub(crate) title: &'static str,
    /// Whether the table has it when no columns are asked for.
    pub(crate) shown: bool,
    /// A number: aligned at its right edge.
    pub(crate) number: bool,
    /// Its text for one row.
    pub(crate) cell: fn(&T, Show) -> String,
}

impl<T> Column<T> {
    /// A column of text that the table has by default.
    pub(crate) const fn new(
        name: &'static str,
        title: &'static str,
        cell: fn(&T, Show) -> String,
    ) -> Self {
        Self { name, title, shown: true, number: false, cell }
    }

    /// The same, only where asked for by name.
    pub(crate) const fn on_request(mut self) -> Self {
        self.shown = false;
        self
    }

    /// The same, aligned as a number.
    pub(crate) const fn number(mut self) -> Self {
        self.number = true;
        self
    }
}

impl ListArgs {
    /// Writes `rows` as asked. `key` names a row for `--quiet`; a key that
    /// several rows share is written once.
    pub(crate) fn print<T: Serialize>(
        &self,
        columns: &[Column<T>],
        rows: &[T],
        key: fn(&T, Show) -> String,
    ) -> Result<(), Failure> {
        let show = Show { full: self.no_trunc, now: SystemTime::now() };
        let format = self.format.as_deref().map(str::trim);
        if self.quiet && format.is_none() {
            return output::text(&keys(rows, key, show));
        }
        match format {
            Some("json") => output::json(rows),
            Some("jsonl") => {
                let mut text = String::new();
                for row in rows {
                    text.push_str(&serde_json::to_string(row)?);
                    text.push('\n');
                }
                output::text(&text)
            }
            None | Some("table" | "") => {
                let chosen: Vec<_> = columns.iter().filter(|column| column.shown).collect();
                output::text(&table(&chosen, rows, show, !self.no_header))
            }
            Some(list) => {
                let chosen = choose(columns, list)?;
                output::text(&table(&chosen, rows, show, !self.no_header))
            }
        }
    }
}

fn keys<T>(rows: &[T], key: fn(&T, Show) -> String, show: Show) -> String {
    let mut seen: Vec<String> = Vec::new();
    for row in rows {
        let name = key(row, show);
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen.iter().map(|name| format!("{}\n", output::printable(name))).collect()
}

fn choose<'a, T>(columns: &'a [Column<T>], list: &str) -> Result<Vec<&'a Column<T>>, Failure> {
    let known = || columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    if list.contains("{{") {
        let message = format!("--format {list:?}: Go templates are not spoken here");
        return Err(Failure::usage(message).hint(format!(
            "give `json`, `jsonl`, or names of columns separated by commas: {}",
            known()
        )));
    }
    let find = |name: &str| {
        columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let message = format!("--format: there is no column {name:?}");
            Failure::usage(message).hint(format!("columns: {}", known()))
        })
    };
    list.split(',').map(|name| find(name.trim())).collect()
}

fn table<T>(columns: &[&Column<T>], rows: &[T], show: Show, header: bool) -> String {
    let mut lines: Vec<Vec<String>> = Vec::new();
    if header {
        lines.push(columns.iter().map(|column| column.title.to_owned()).collect());
    }
    for row in rows {
        let cell = |column: &&Column<T>| output::printable(&(column.cell)(row, show));
        lines.push(columns.iter().map(cell).collect());
    }
    let numbers: Vec<bool> = columns.iter().map(|column| column.number).collect();
    align(&lines, &numbers)
}

/// Lines of cells as text: columns as wide as their widest cell, three spaces
/// between them; those that `numbers` marks end at their right edge.
pub(crate) fn align(lines: &[Vec<String>], numbers: &[bool]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|c| c.chars().count()).max()
    };
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let mut padded = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = widths.get(column).copied().unwrap_or(0);
            if column > 0 {
                padded.push_str("   ");
            }
            if numbers.get(column).copied().unwrap_or(false) {
                padded.push_str(&format!("{cell:>width$}"));
            } else {
                padded.push_str(&format!("{cell:<width$}"));
            }
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row(&'static str, u64);

    const COLUMNS: [Column<Row>; 3] = [
        Column::<Row>::new("name", "NAME", |row, _| row.0.to_owned()),
        Column::<Row>::new("size", "SIZE", |row, _| row.1.to_string()).number(),
        Column::<Row>::new("twice", "TWICE", |row, _| (row.1 * 2).to_string()).on_request(),
    ];
    const SHOW: Show = Show { full: false, now: SystemTime::UNIX_EPOCH };

    #[test]
    fn columns_line_up() {
        let shown: Vec<_> = COLUMNS.iter().filter(|c| c.shown).collect();
        let text = table(&shown, &[Row("a", 5), Row("long", 12345)], SHOW, true);
        assert_eq!(text, "NAME    SIZE\na          5\nlong   12345\n");
    }

    #[test]
    fn columns_are_chosen_by_name_and_order() {
        let chosen = choose(&COLUMNS, "twice, Name").unwrap();
        assert_eq!(table(&chosen, &[Row("a", 5)], SHOW, false), "10   a\n");
    }

    #[test]
    fn unknown_columns_and_templates_are_answered_with_the_known_ones() {
        for list in ["nme", "{{.Name}}"] {
            let failure = choose(&COLUMNS, list).err().unwrap();
            assert!(format!("{failure:?}").contains("name, size, twice"), "{failure:?}");
            assert_eq!(failure.code(), 125);
        }
    }

    #[test]
    fn a_shared_key_is_written_once() {
        let rows = [Row("a", 1), Row("a", 2), Row("b", 3)];
        assert_eq!(keys(&rows, |row, _| row.0.to_owned(), SHOW), "a\nb\n");
    }
}
