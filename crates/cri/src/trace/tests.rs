//! Sampling, and collectors that are not there.

use std::time::{Duration, Instant};

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers(parent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", parent.parse().unwrap());
    headers
}

fn tracer(room: usize, per_million: u32) -> (Tracer, tokio::sync::mpsc::Receiver<Span>) {
    let (spans, queue) = tokio::sync::mpsc::channel(room);
    (Tracer { spans, metrics: Arc::default(), per_million }, queue)
}

#[test]
fn clients_decide_and_else_chance() {
    let begun = |per_million: u32, headers: &HeaderMap| {
        tracer(1, per_million).0.begin(headers, "s", "m").map(|span| span.call)
    };
    let none = HeaderMap::new();
    assert!(begun(0, &none).is_none() && begun(ALL, &none).unwrap().parent_span_id.is_empty());
    let some = (0..2000).filter(|_| begun(ALL / 2, &none).is_some()).count();
    assert!((500..1500).contains(&some), "{some}");
    let own = begun(0, &headers(PARENT)).unwrap();
    assert_eq!((own.trace_id[0], own.parent_span_id[1]), (0x4b, 0xf0));
    assert!(begun(ALL, &headers(&PARENT.replace("-01", "-00"))).is_none());
    assert!(begun(ALL, &headers("nonsense")).unwrap().parent_span_id.is_empty());
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let (tracer, mut queue) = tracer(1, ALL);
    let span = tracer.begin(&HeaderMap::new(), "s", "m").unwrap();
    for _ in 0..3 {
        span.end(1, "", Code::Ok, "");
    }
    assert!(queue.try_recv().is_ok() && queue.try_recv().is_err());
    let text = tracer.metrics.text(crate::metrics::Gauges::default());
    assert!(text.contains("caisson_trace_spans_dropped_total 2\n"), "{text}");
}

#[tokio::test]
async fn a_dead_collector_holds_nobody_up() {
    let endpoint = Endpoint::parse("http://127.0.0.1:1").unwrap();
    let metrics = Arc::new(Metrics::default());
    let (tracer, exporter) = Exporter::start(endpoint, ALL, Arc::clone(&metrics));
    let span = tracer.begin(&HeaderMap::new(), "s", "m").unwrap();
    for _ in 0..10 {
        span.end(1, "", Code::Ok, "");
    }
    drop((span, tracer));
    exporter.finish(Duration::from_secs(30)).await;
    let until = Instant::now() + Duration::from_secs(30);
    let lost = || metrics.text(crate::metrics::Gauges::default());
    while !lost().contains("caisson_trace_spans_dropped_total 10\n") {
        assert!(Instant::now() < until, "{}", lost());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
