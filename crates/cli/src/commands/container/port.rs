//! `caisson port`.

use std::process::ExitCode;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Show where a container's ports are published
#[derive(Debug, clap::Args)]
pub(crate) struct Port {
    /// Name or id
    container: String,
    /// Only this one of its ports, such as 80 or 53/udp
    port: Option<String>,
}

impl Port {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let view = context.engine()?.container(&self.container)?;
        let ports = match (&view.live, view.record.outcome.network) {
            (Some(_), Some(network)) => network.ports,
            _ => Vec::new(),
        };
        let wanted = self.port.as_deref().map(|text| text.split_once('/').unwrap_or((text, "tcp")));
        let mut text = String::new();
        for port in &ports {
            let host = port.host_ip.map_or_else(
                || format!("0.0.0.0:{}", port.host_port),
                |ip| std::net::SocketAddr::new(ip, port.host_port).to_string(),
            );
            match wanted {
                Some((number, protocol))
                    if port.container_port.to_string() == number
                        && port.protocol.as_str() == protocol =>
                {
                    text.push_str(&format!("{host}\n"));
                }
                Some(_) => {}
                None => {
                    let line = format!("{}/{} -> {host}\n", port.container_port, port.protocol);
                    text.push_str(&line);
                }
            }
        }
        if let (Some(port), true) = (&self.port, text.is_empty()) {
            let message = format!("container {} publishes no port {port}", self.container);
            return Err(Failure::new(message));
        }
        output::text(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
