//! Markdown tables and links, as far as the rules need them.

/// Rows of every table whose header has a column called `column`: the cells of
/// that column, with the line number counted from one.
#[must_use]
pub fn column(text: &str, column: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut wanted: Option<usize> = None;
    let mut in_table = false;
    for (index, line) in text.lines().enumerate() {
        let Some(cells) = cells(line) else {
            (in_table, wanted) = (false, None);
            continue;
        };
        if !in_table {
            in_table = true;
            wanted = cells.iter().position(|cell| cell.eq_ignore_ascii_case(column));
            continue;
        }
        let ruler = cells.iter().all(|c| !c.is_empty() && c.chars().all(|c| c == '-' || c == ':'));
        if let Some(cell) = wanted.and_then(|i| cells.get(i))
            && !ruler
        {
            found.push((index + 1, cell.clone()));
        }
    }
    found
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// The texts between back quotes.
#[must_use]
pub fn code_spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Targets of `[text](target)` links that are paths of this repository.
#[must_use]
pub fn local_links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for part in line.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                links.push((index + 1, target));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_column_in_the_right_tables() {
        let text = "| a | shown by |\n|---|:--|\n| 1 | `x` |\n\n| b |\n|---|\n| 2 |\n";
        assert_eq!(column(text, "Shown by"), [(3, "`x`".to_owned())]);
    }

    #[test]
    fn finds_spans_and_links() {
        assert_eq!(code_spans("a `b` c `d e`"), ["b", "d e"]);
        let links = local_links("[a](b.md#c) [d](https://e)\n[f](g/h.md)");
        assert_eq!(links, [(1, "b.md"), (2, "g/h.md")]);
    }
}
