//! Sockets handed over by systemd, see `sd_listen_fds(3)`.

/// How many sockets from descriptor 3 upwards are meant for this process.
pub(super) fn count() -> u32 {
    let Some(listen_fds) = std::env::var_os("LISTEN_FDS") else { return 0 };
    let pid = std::env::var_os("LISTEN_PID").and_then(|pid| pid.into_string().ok());
    let own = rustix::process::getpid().as_raw_nonzero().get();
    meant_for(own, pid.as_deref(), listen_fds.to_str())
}

fn meant_for(own: i32, listen_pid: Option<&str>, listen_fds: Option<&str>) -> u32 {
    let ours = listen_pid.and_then(|pid| pid.parse().ok()) == Some(own);
    let count = listen_fds.and_then(|count| count.parse::<u32>().ok());
    count.filter(|count| ours && *count <= 1 << 20).unwrap_or(0)
}

/// Tells a container's first process, which is number 1 to itself.
pub(super) fn pass_on(env: &mut Vec<String>, count: u32) {
    if count > 0 {
        env.push(format!("LISTEN_FDS={count}"));
        env.push("LISTEN_PID=1".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::{meant_for, pass_on};

    #[test]
    fn only_sockets_for_this_process_count() {
        assert_eq!(meant_for(7, Some("7"), Some("2")), 2);
        assert_eq!(meant_for(7, Some("8"), Some("2")), 0);
        assert_eq!(meant_for(7, None, Some("2")), 0);
        assert_eq!(meant_for(7, Some("7"), Some("-2")), 0);
        assert_eq!(meant_for(7, Some("7"), None), 0);
    }

    #[test]
    fn the_process_is_told() {
        let mut env = vec!["A=1".to_owned()];
        pass_on(&mut env, 0);
        pass_on(&mut env, 2);
        assert_eq!(env, ["A=1", "LISTEN_FDS=2", "LISTEN_PID=1"]);
    }
}
