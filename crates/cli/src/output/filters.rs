//! `--filter key=value`.

use std::collections::BTreeMap;

use crate::failure::Failure;

/// The option of every command that lists or prunes.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct FilterArgs {
    /// Only those that match, such as `label=key=value`; several of one key
    /// widen the choice, different keys narrow it
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

/// What was asked for, with keys checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters(Vec<(String, String)>);

impl FilterArgs {
    /// Of a command that has no `-f` for it.
    pub(crate) fn of(filter: &[String]) -> Self {
        Self { filter: filter.to_vec() }
    }

    /// Splits the filters; `known` are the keys that the command understands.
    pub(crate) fn parse(&self, known: &[&str]) -> Result<Filters, Failure> {
        let split = |text: &String| {
            let Some((key, value)) = text.split_once('=') else {
                return Err(Failure::usage(format!("--filter {text:?}: wants KEY=VALUE")));
            };
            if !known.contains(&key) {
                return Err(Failure::usage(format!("--filter: there is no key {key:?}"))
                    .hint(format!("keys: {}", known.join(", "))));
            }
            Ok((key.to_owned(), value.to_owned()))
        };
        self.filter.iter().map(split).collect::<Result<_, _>>().map(Filters)
    }
}

impl Filters {
    /// The values given for `key`.
    pub(crate) fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Whether nothing is asked of `key`, or `test` holds for one value.
    pub(crate) fn any(&self, key: &str, test: impl FnMut(&str) -> bool) -> bool {
        let mut values = self.values(key).peekable();
        values.peek().is_none() || values.any(test)
    }

    /// Whether every `label` filter, `key` or `key=value`, finds its label in
    /// `labels`.
    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.values("label").all(|wanted| {
            let (key, value) = match wanted.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (wanted, None),
            };
            labels.get(key).is_some_and(|held| value.is_none_or(|value| value == held))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Result<Filters, Failure> {
        let filter = texts.iter().map(|text| (*text).to_owned()).collect();
        FilterArgs { filter }.parse(&["label", "name"])
    }

    #[test]
    fn keys_are_checked() {
        assert!(filters(&["name=a", "label=b=c"]).is_ok());
        assert!(format!("{:?}", filters(&["nme=a"]).unwrap_err()).contains("label, name"));
        assert!(filters(&["name"]).is_err());
    }

    #[test]
    fn one_key_widens() {
        let both = filters(&["name=a", "name=b"]).unwrap();
        assert!(both.any("name", |value| value == "b"));
        assert!(!both.any("name", |value| value == "c"));
        assert!(filters(&[]).unwrap().any("name", |_| false));
    }

    #[test]
    fn labels_narrow() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert!(filters(&["label=a", "label=a=1"]).unwrap().labels(&labels));
        assert!(!filters(&["label=a", "label=b"]).unwrap().labels(&labels));
        assert!(!filters(&["label=a=2"]).unwrap().labels(&labels));
    }
}
