//! The size of the window, on real pseudo-terminals. Needs root.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
#![allow(clippy::panic, reason = "a test stops at the first surprise")]

mod busybox;
mod caisson;
mod terminal;

use busybox::{assert_nothing_left, root};
use caisson::Caisson;
use terminal::Session;

/// A shell behind `args` sees the window's first size, and each later one.
fn follows(caisson: &Caisson, args: &[&str], rows: u16) -> Session {
    let mut session = Session::start(&caisson.command(args), rows, 90);
    session.write("echo rea''dy\n");
    session.expect("ready\r\n");
    assert_eq!(session.size(), format!("{rows} 90"));
    for (rows, columns) in [(rows + 11, 133), (7, 40)] {
        session.resize(rows, columns);
        wait_for(&mut session, rows, columns);
    }
    session
}

/// The change arrives a moment after the signal.
fn wait_for(session: &mut Session, rows: u16, columns: u16) {
    let wanted = format!("{rows} {columns}");
    let mut size = String::new();
    for _ in 0..100 {
        size = session.size();
        if size == wanted {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the window is {wanted}, the program sees {size}");
}

#[test]
fn programs_see_the_size_of_the_window() {
    if !root() {
        return;
    }
    let caisson = busybox::caisson();
    let run = ["run", "-it", "--name", "one", "--network", "none", "busybox", "sh"];
    let mut session = follows(&caisson, &run, 30);
    // A terminal of its own, which leaves the container's as it is.
    let mut inside = follows(&caisson, &["exec", "-it", "one", "sh"], 21);
    inside.write("exit 5\n");
    assert_eq!(inside.wait().code(), Some(5));
    assert_eq!(session.size(), "7 40");

    session.write("\u{10}\u{11}");
    assert_eq!(session.wait().code(), Some(0), "left by its keys");
    let mut again = follows(&caisson, &["attach", "one"], 44);
    again.write("exit 3\n");
    assert_eq!(again.wait().code(), Some(3));

    let start = ["start", "-ai", "one"];
    let mut session = follows(&caisson, &start, 50);
    session.write("exit 4\n");
    assert_eq!(session.wait().code(), Some(4));
    caisson.run(&["rm", "one"]);
    assert_nothing_left(&caisson);
}
