//! From HTTP/2 requests to services; counts and logs them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Code, Status};

use super::methods::Method;
use crate::call::Call;
use crate::images::Images;
use crate::log::{Level, enabled, log};
use crate::metrics::Metrics;
use crate::runtime::Runtime;
use crate::trace::Tracer;
use crate::v1::image_service_server::{self, ImageServiceServer};
use crate::v1::runtime_service_server::{self, RuntimeServiceServer};

/// Longest request, in bytes: as long as kubelet's.
const MAX_REQUEST: usize = 16 << 20;

/// Both services.
#[derive(Clone, Debug)]
pub(super) struct Services {
    runtime: RuntimeServiceServer<Runtime>,
    images: ImageServiceServer<Images>,
    metrics: Arc<Metrics>,
    tracer: Option<Tracer>,
    calls: Arc<AtomicU64>,
}

impl Services {
    pub(super) fn new(
        runtime: Runtime,
        images: Images,
        metrics: Arc<Metrics>,
        tracer: Option<Tracer>,
    ) -> Self {
        Self {
            runtime: RuntimeServiceServer::new(runtime).max_decoding_message_size(MAX_REQUEST),
            images: ImageServiceServer::new(images).max_decoding_message_size(MAX_REQUEST),
            metrics,
            tracer,
            calls: Arc::default(),
        }
    }

    /// Answers one call.
    pub(super) async fn call(
        mut self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let method = Method::of(request.uri().path());
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        self.metrics.called(method.name);
        let services = [runtime_service_server::SERVICE_NAME, image_service_server::SERVICE_NAME];
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        let service = services.into_iter().find(|known| *known == service);
        let traced = service.zip(self.tracer.as_ref());
        let span = traced
            .and_then(|(service, tracer)| tracer.begin(request.headers(), service, method.name));
        let call = Call::new(id, span);
        let answered =
            Answered { metrics: &self.metrics, method, call: call.clone(), began, done: false };
        let response = match service {
            Some(runtime_service_server::SERVICE_NAME) => {
                call.scope(self.runtime.call(request)).await
            }
            Some(_) => call.scope(self.images.call(request)).await,
            None => {
                let text = "the services here are runtime.v1.RuntimeService and ImageService";
                Ok(Status::unimplemented(text).into_http())
            }
        };
        let Ok(response) = response;
        answered.with(&response);
        Ok(response)
    }
}

/// Counts a call even when its client goes before the answer.
struct Answered<'m> {
    metrics: &'m Metrics,
    method: Method,
    call: Call,
    began: Instant,
    done: bool,
}

impl Answered<'_> {
    fn with(mut self, response: &Response<Body>) {
        // Failures have no body: their status is in the head.
        let status = Status::from_header_map(response.headers());
        let code = status.as_ref().map_or(Code::Ok, Status::code);
        self.end(code, status.as_ref().map_or("", Status::message));
    }

    fn end(&mut self, code: Code, error: &str) {
        self.done = true;
        let took = self.began.elapsed();
        self.metrics.answered(self.method.name, code, took);
        let (id, subject) = (self.call.id(), self.call.subject());
        if let Some(span) = self.call.span() {
            span.end(id, subject, code, error);
        }
        let level = match (code, self.method.changes) {
            (Code::Ok, true) => Level::Info,
            (Code::Ok | Code::NotFound | Code::Cancelled, _) => Level::Debug,
            _ => Level::Warn,
        };
        if !enabled(level) {
            return;
        }
        let (code, ms) = (format!("{code:?}"), took.as_millis());
        let mut fields: Vec<(&str, &dyn std::fmt::Display)> =
            vec![("request", &id), ("method", &self.method.name)];
        if !subject.is_empty() {
            fields.push(("of", &subject));
        }
        fields.extend([("code", &code as &dyn std::fmt::Display), ("ms", &ms)]);
        if !error.is_empty() {
            fields.push(("error", &error));
        }
        log(level, "call", &fields);
    }
}

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.end(Code::Cancelled, "the client went before the answer");
        }
    }
}
