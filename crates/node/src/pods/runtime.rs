//! What the engine says of itself.

use crate::pods::view::{Condition, HandlerFeatures, RuntimeStatus};
use crate::pods::{PodError, Pods, cgroups};

fn good() -> Condition {
    Condition { ready: true, reason: String::new(), message: String::new() }
}

fn bad(reason: &str, message: String) -> Condition {
    Condition { ready: false, reason: reason.to_owned(), message }
}

impl Pods {
    /// What the engine says of itself: whether it and its network work, and what
    /// its handlers can do.
    ///
    /// # Errors
    /// None yet.
    pub fn runtime_status(&self) -> Result<RuntimeStatus, PodError> {
        Ok(RuntimeStatus {
            runtime: self.runtime_condition(),
            network: self.network_condition(),
            handlers: self.handler_features(),
            supplemental_groups_policy: true,
            cgroup_driver: cgroups::driver(&self.engine().settings()),
        })
    }

    fn runtime_condition(&self) -> Condition {
        if caisson_shim::client::find_program().is_none() {
            let message = "caisson-shim is neither beside this program nor on the PATH";
            return bad("NoSupervisor", message.to_owned());
        }
        match self.engine().store() {
            Ok(_) => good(),
            Err(error) => bad("NoImageStore", error.to_string()),
        }
    }

    fn network_condition(&self) -> Condition {
        let network = match self.engine().network() {
            Ok(network) => network,
            Err(error) => return bad("NetworkStateUnusable", error.to_string()),
        };
        match network.default_cni() {
            // Its plugins may be able to tell more.
            Ok(Some(name)) => match network.cni_status(&name) {
                Ok(()) => good(),
                Err(error) => bad("CNIPluginNotReady", error.to_string()),
            },
            // The built-in bridge is made by the first pod.
            Ok(None) => good(),
            Err(error) => bad("CNIConfigurationMalformed", error.to_string()),
        }
    }

    /// Handlers that this build and machine can run; the default one also without
    /// a name.
    fn handler_features(&self) -> Vec<HandlerFeatures> {
        let handlers = self.engine().handlers();
        let default = handlers.get(None).ok().map(|handler| (String::new(), handler));
        let named = handlers.iter().map(|handler| (handler.name.clone(), handler));
        let usable = default.into_iter().chain(named).filter(|(_, it)| it.isolator().is_ok());
        usable
            .map(|(name, handler)| {
                let can = self.engine().describe(&handler);
                HandlerFeatures {
                    name,
                    recursive_read_only_mounts: can.recursive_read_only_mounts(),
                    user_namespaces: can.user_namespaces(),
                }
            })
            .collect()
    }
}
