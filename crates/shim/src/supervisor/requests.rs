//! What clients ask of the pod.

use std::os::fd::{AsFd as _, OwnedFd};

use super::client::{ClientId, Mode};
use super::state::Supervisor;
use super::unit::{Creator, Phase};
use crate::wire::decode;
use crate::{Fault, FaultKind, NamespaceKind, Request, Response};

impl Supervisor {
    /// Handles what this client has sent.
    pub(super) fn serve(&mut self, id: ClientId) {
        loop {
            let Some(client) = self.client(id) else { return };
            let attached = match client.mode {
                Mode::Idle => None,
                Mode::Attached(key, _) => Some(key),
                // The next request waits until this one is answered.
                _ => return,
            };
            match (client.incoming.take_frame(), attached) {
                (Ok(None), _) => return,
                (Ok(Some(frame)), Some(key)) => self.take_input(id, key, &frame),
                (Ok(Some(frame)), None) => {
                    let fds = client.incoming.take_fds();
                    client.mode = Mode::Asked;
                    let answer = match decode::<Request>(&frame) {
                        Ok(request) => self.handle(id, request, fds),
                        Err(error) => Err(invalid(error.to_string())),
                    };
                    match answer {
                        Ok(None) => {}
                        Ok(Some(response)) => self.reply(id, Ok(response)),
                        Err(fault) => self.reply(id, Err(fault)),
                    }
                }
                (Err(_), _) => {
                    client.gone = true;
                    return;
                }
            }
        }
    }

    /// The answer, unless it comes later.
    fn handle(
        &mut self,
        client: ClientId,
        request: Request,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<Response>, Fault> {
        match request {
            Request::Pod => Ok(Some(Response::Pod(Box::new(self.pod_state())))),
            Request::Create(config) => {
                self.create(*config, Creator::Client(client), None).map(|()| None)
            }
            Request::Container { id, request } => {
                let key = self.unit_called(&id).map(|unit| unit.key).ok_or_else(|| {
                    let pod = &self.pod.config.id;
                    Fault::new(FaultKind::NotFound, format!("pod {pod} has no container {id}"))
                })?;
                self.handle_container(client, key, request, fds)
            }
            Request::Subscribe => {
                let state = Box::new(self.pod_state());
                self.reply(client, Ok(Response::Subscribed(state)));
                self.set_mode(client, Mode::Subscribed);
                Ok(None)
            }
            Request::Namespace(kind) => self.give_namespace(client, kind),
            Request::Shutdown { force } => self.shut_down(client, force),
        }
    }

    fn give_namespace(
        &mut self,
        client: ClientId,
        kind: NamespaceKind,
    ) -> Result<Option<Response>, Fault> {
        let held = self.pod.namespaces.iter().find(|(held, _)| *held == kind);
        let Some((_, namespace)) = held else {
            let why = format!("pod {} has no {kind:?} namespace of its own", self.pod.config.id);
            return Err(Fault::new(FaultKind::NotFound, why));
        };
        if let Some(client) = self.clients.iter_mut().find(|asking| asking.id == client) {
            client.answer_with(&Response::Done, namespace.as_fd());
        }
        Ok(None)
    }

    fn shut_down(&mut self, client: ClientId, force: bool) -> Result<Option<Response>, Fault> {
        let runs = |phase| !matches!(phase, Phase::Stopped | Phase::Created);
        if let Some(unit) = self.units.iter().find(|unit| runs(unit.phase) && !force) {
            return Err(unit.wrong_status("remove"));
        }
        self.set_mode(client, Mode::AwaitsLeave);
        self.ending.leave = true;
        self.kill_all();
        self.leave_if_done();
        Ok(None)
    }
}

pub(super) fn invalid(message: String) -> Fault {
    Fault::new(FaultKind::Invalid, message)
}
