//! Signals: the contract's numbers, the engine's names.

use tonic::Status;

use super::choice;
use crate::v1::Signal;

/// The engine's name of a signal; none for the image's own.
pub(crate) fn from_signal(field: &str, number: i32) -> Result<Option<String>, Status> {
    let signal: Signal = choice(field, number)?;
    if signal == Signal::RuntimeDefault {
        return Ok(None);
    }
    let name = signal.as_str_name();
    let name = name.strip_prefix("SIGNAL_").unwrap_or(name);
    Ok(Some(name.replace("MINPLUS", "MIN+").replace("MAXMINUS", "MAX-")))
}

/// The contract's number of a signal by name, `SIGTERM`, or by number; the
/// default's if it has none.
pub(crate) fn to_signal(name: &str) -> i32 {
    let name = name.trim();
    if let Some(signal) = by_name(name) {
        return signal as i32;
    }
    // Numbers, and real-time signals counted from the other end.
    let wanted = caisson_node::signals::parse(name).ok();
    let same = |signal: &Signal| {
        let known = from_signal("", *signal as i32).ok().flatten();
        wanted.is_some() && known.and_then(|n| caisson_node::signals::parse(&n).ok()) == wanted
    };
    (1..=Signal::Sigrtmax as i32)
        .filter_map(|number| Signal::try_from(number).ok())
        .find(same)
        .map_or(Signal::RuntimeDefault as i32, |signal| signal as i32)
}

fn by_name(name: &str) -> Option<Signal> {
    let name = name.replace("MIN+", "MINPLUS").replace("MAX-", "MAXMINUS");
    let with_sig = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    Signal::from_str_name(&format!("SIGNAL_{with_sig}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_name_that_the_engine_knows() {
        assert_eq!(from_signal("s", 0).unwrap(), None);
        for number in 1..=65 {
            let name = from_signal("s", number).unwrap().unwrap();
            assert!(caisson_node::signals::parse(&name).is_ok(), "{name}");
            assert_eq!(to_signal(&name), number, "{name}");
        }
        assert!(from_signal("s", 66).is_err() && from_signal("s", -1).is_err());
    }

    #[test]
    fn names_of_images_have_numbers() {
        assert_eq!(to_signal("SIGTERM"), Signal::Sigterm as i32);
        assert_eq!(to_signal("term"), Signal::Sigterm as i32);
        assert_eq!(to_signal("15"), Signal::Sigterm as i32);
        assert_eq!(to_signal("SIGRTMIN+3"), Signal::Sigrtminplus3 as i32);
        assert_eq!(to_signal("37"), Signal::Sigrtminplus3 as i32);
        assert_eq!(to_signal(""), 0);
        assert_eq!(to_signal("nonsense"), 0);
    }
}
