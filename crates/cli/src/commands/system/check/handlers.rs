//! Handlers that the settings name.

use caisson_node::handlers::{HandlerKind, Handlers};

use super::Finding;
use crate::context::Context;

const CHECK: &str = "handlers";

/// Runtimes and shims of others, each with what keeps it from running.
pub(super) fn look(context: &Context) -> Vec<Finding> {
    let handlers = match Handlers::new(&context.settings) {
        Ok(handlers) => handlers,
        Err(error) => {
            return vec![Finding::missing(CHECK, error.to_string(), "correct the settings")];
        }
    };
    let others = handlers.iter().filter(|it| !matches!(it.kind, HandlerKind::Isolator(_)));
    others
        .map(|handler| match (handler.isolator(), &handler.kind) {
            (Ok(_), HandlerKind::Oci(runtime)) => {
                Finding::ok(CHECK, format!("{}: {}", handler.name, runtime.path.display()))
            }
            (Ok(_), _) => Finding::ok(CHECK, handler.name),
            (Err(error), _) => Finding::warning(
                CHECK,
                format!("{} can't be used", handler.name),
                error.to_string(),
            ),
        })
        .collect()
}
