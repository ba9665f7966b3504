//! `WWW-Authenticate` (RFC 9110, section 11.6.1; RFC 6750; distribution's token
//! specification).

/// What a server wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// User name and password.
    Basic,
}

/// The challenges in a header's values; those of other schemes are left out.
pub(super) fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in values {
        let mut open: Option<(String, Vec<(String, String)>)> = None;
        for item in items(value) {
            match item {
                Item::Scheme(scheme) => {
                    found.extend(open.take().and_then(finish));
                    open = Some((scheme, Vec::new()));
                }
                Item::Parameter(name, value) => {
                    if let Some((_, parameters)) = &mut open {
                        parameters.push((name, value));
                    }
                }
            }
        }
        found.extend(open.and_then(finish));
    }
    found
}

fn finish((scheme, parameters): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let get = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    if scheme.eq_ignore_ascii_case("basic") {
        Some(Challenge::Basic)
    } else if scheme.eq_ignore_ascii_case("bearer") {
        let realm = get("realm")?;
        Some(Challenge::Bearer { realm, service: get("service"), scope: get("scope") })
    } else {
        None
    }
}

enum Item {
    Scheme(String),
    Parameter(String, String),
}

/// Splits at spaces and commas outside quotes. A word with `=` is a parameter,
/// one without begins a challenge.
fn items(value: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = value.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let spaced = behind.trim_start_matches([' ', '\t']);
        if let Some(behind) = spaced.strip_prefix('=') {
            let (text, behind) = self::value(behind.trim_start_matches([' ', '\t']));
            items.push(Item::Parameter(word.to_owned(), text));
            rest = behind;
        } else {
            items.push(Item::Scheme(word.to_owned()));
            rest = behind;
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    items
}

/// A token or a quoted string at the start of `text`, and what is behind it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, behind) = text.split_at(end);
        return (value.to_owned(), behind);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::{Challenge, parse};

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn the_usual_ones() {
        let header = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        assert_eq!(
            parse([header].into_iter()),
            [bearer(
                "https://auth.example/token",
                Some("r.example"),
                Some("repository:a/b:pull,push")
            )]
        );
        assert_eq!(parse([r#"Basic realm="x, y""#].into_iter()), [Challenge::Basic]);
        assert_eq!(
            parse([r#"Negotiate abc, basic, BEARER realm = "a\"b" , Service=c"#].into_iter()),
            [Challenge::Basic, bearer("a\"b", Some("c"), None)]
        );
    }

    #[test]
    fn malformed_ones_do_no_harm() {
        for bad in [
            "",
            ",",
            "=",
            "\"",
            "Bearer",
            "Bearer realm",
            "Bearer realm=",
            "Bearer realm=\"",
            "Digest realm=\"x\"",
            "Bearer realm=\"\"",
            "=x",
            "a=b=c",
            "\u{e4}\u{f6}=\"\\",
        ] {
            assert_eq!(parse([bad].into_iter()), [], "{bad}");
        }
    }
}
