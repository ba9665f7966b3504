//! Traces: a span for each call, below it one for each operation of the engine,
//! below that one for each step. They continue the client's trace and go to a
//! collector by OpenTelemetry's protocol (OTLP, protobuf over HTTP).

mod context;
mod endpoint;
mod export;
mod otlp;

use std::sync::Arc;

use caisson_node::clock::now_nanos;
use caisson_node::operations::OperationRecord;
use hyper::HeaderMap;
use tonic::Code;

use crate::metrics::Metrics;
use context::{TraceParent, new_id};
pub(crate) use endpoint::Endpoint;
pub(crate) use export::Exporter;
use otlp::{KeyValue, Kind, Span, SpanStatus};

/// A million: every call that belongs to no trace of its client's.
pub(crate) const ALL: u32 = 1_000_000;

/// Where spans begin.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    spans: tokio::sync::mpsc::Sender<Span>,
    metrics: Arc<Metrics>,
    per_million: u32,
}

impl Tracer {
    /// Begins a call's span, if it is to be traced: as its client says, else by
    /// chance.
    pub(crate) fn begin(
        &self,
        headers: &HeaderMap,
        service: &str,
        method: &str,
    ) -> Option<ActiveSpan> {
        let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let parent = parent.and_then(TraceParent::parse);
        let sampled = match parent {
            Some(parent) => parent.sampled,
            None => self.per_million >= ALL || self.per_million > drawn()?,
        };
        let (trace, parent_span) = match parent {
            Some(parent) => (parent.trace, parent.span.to_vec()),
            None => (if sampled { new_id()? } else { return None }, Vec::new()),
        };
        sampled.then_some(())?;
        let call = Span {
            trace_id: trace.to_vec(),
            span_id: new_id::<8>()?.to_vec(),
            parent_span_id: parent_span,
            name: format!("{service}/{method}"),
            kind: Kind::Server.into(),
            start_time_unix_nano: now_nanos(),
            attributes: vec![
                KeyValue::text("rpc.system", "grpc"),
                KeyValue::text("rpc.service", service),
                KeyValue::text("rpc.method", method),
            ],
            ..Span::default()
        };
        Some(ActiveSpan { tracer: self.clone(), call })
    }

    /// Never waits: what there is no room for is counted.
    fn submit(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans_dropped(1);
        }
    }
}

/// A number below a million.
fn drawn() -> Option<u32> {
    new_id::<4>().map(|bytes| u32::from_le_bytes(bytes) % ALL)
}

/// A call's span.
#[derive(Debug)]
pub(crate) struct ActiveSpan {
    tracer: Tracer,
    call: Span,
}

impl ActiveSpan {
    /// What was done for the call.
    pub(crate) fn add_operations(&self, operations: &[OperationRecord]) {
        for operation in operations {
            let times = (operation.began, operation.ended);
            let Some(mut span) = self.below(&self.call.span_id, operation.operation, times) else {
                return;
            };
            span.attributes.push(KeyValue::text("caisson.of", operation.key.as_str()));
            if operation.waited {
                span.attributes.push(KeyValue::bool("caisson.joined", true));
            }
            if operation.failed {
                span.status = Some(SpanStatus::error(""));
            }
            for step in &operation.steps {
                if let Some(step) = self.below(&span.span_id, step.name, (step.began, step.ended)) {
                    self.tracer.submit(step);
                }
            }
            self.tracer.submit(span);
        }
    }

    /// Something that was done for it from `began` on, until now.
    pub(crate) fn add(&self, name: &str, began: u64, of: &str, error: Option<&str>) {
        if let Some(mut span) = self.below(&self.call.span_id, name, (began, now_nanos())) {
            span.attributes.push(KeyValue::text("caisson.of", of));
            span.status = error.map(SpanStatus::error);
            self.tracer.submit(span);
        }
    }

    /// The call was answered.
    pub(crate) fn end(&self, request: u64, subject: &str, code: Code, error: &str) {
        let mut span = self.call.clone();
        span.end_time_unix_nano = now_nanos();
        let request = i64::try_from(request).unwrap_or(i64::MAX);
        span.attributes.push(KeyValue::int("rpc.grpc.status_code", i64::from(code as i32)));
        span.attributes.push(KeyValue::int("caisson.request", request));
        if !subject.is_empty() {
            span.attributes.push(KeyValue::text("caisson.of", subject));
        }
        if code != Code::Ok {
            span.status = Some(SpanStatus::error(error));
        }
        self.tracer.submit(span);
    }

    fn below(&self, parent: &[u8], name: &str, (began, ended): (u64, u64)) -> Option<Span> {
        Some(Span {
            trace_id: self.call.trace_id.clone(),
            span_id: new_id::<8>()?.to_vec(),
            parent_span_id: parent.to_vec(),
            name: name.to_owned(),
            kind: Kind::Internal.into(),
            start_time_unix_nano: began,
            end_time_unix_nano: ended,
            ..Span::default()
        })
    }
}

#[cfg(test)]
mod tests;
