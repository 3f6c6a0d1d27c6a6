use super::*;
use xinqiao_runtime::metrics::{Metric, Metrics};

const LONG: Duration = Duration::from_secs(3_600);

fn liveness(is_h2: bool, expiry: Expiry) -> (Liveness, Instant) {
    let received = Metrics::new().counter(Metric::HttpReceivedBytes, &[]);
    (Liveness::new(Arc::new(Deadlines::default()), expiry, is_h2, received), Instant::now())
}

/// Checks at the start and after each of these seconds.
fn checks(of: &Liveness, from: Instant, seconds: &[u64]) -> Vec<Verdict> {
    seconds.iter().map(|s| of.check(from + Duration::from_secs(*s))).collect()
}

#[test]
fn an_idle_connection_is_finished_and_a_busy_one_is_not() {
    let (idle, now) = liveness(false, Expiry::default());
    let verdicts = checks(&idle, now, &[0, 1, 70, 77]);
    use Verdict::{CarryOn, Finish};
    assert_eq!(verdicts, [CarryOn, CarryOn, CarryOn, Finish("idle")]);
    let (busy, now) = liveness(false, Expiry::default());
    busy.request_began();
    assert_eq!(checks(&busy, now, &[0, 1_000, 3_000]), [CarryOn, CarryOn, CarryOn]);
    busy.request_ended();
    assert_eq!(checks(&busy, now, &[3_001, 3_002, 3_078]), [CarryOn, CarryOn, Finish("idle")]);
}

#[test]
fn a_head_that_never_ends_is_cut_with_http_1_only() {
    for (is_h2, last) in [(false, Verdict::Cut("header-slow")), (true, Verdict::CarryOn)] {
        let (liveness, now) = liveness(is_h2, Expiry::default());
        liveness.bytes_arrived();
        assert_eq!(checks(&liveness, now, &[0, 1, 12]).pop(), Some(last));
    }
}

#[test]
fn a_reply_must_move_and_move_fast_enough() {
    let (stalled, now) = liveness(true, Expiry::default());
    stalled.request_began();
    stalled.reply_moved(1, 0);
    assert_eq!(checks(&stalled, now, &[0, 1, 62]).pop(), Some(Verdict::Cut("reply-stalled")));
    let (slow, now) = liveness(true, Expiry::default());
    slow.request_began();
    let last = (0..100).map(|n| {
        slow.reply_moved(1, 100);
        slow.check(now + Duration::from_secs(10 * n))
    });
    assert_eq!(last.last(), Some(Verdict::Cut("reply-slow")));
    slow.reply_ended(1);
    assert_eq!(slow.check(now + LONG), Verdict::CarryOn);
}

#[test]
fn certificate_and_session_end_a_busy_connection_too() {
    let now = Instant::now();
    let ends = Some(now + LONG);
    for (expiry, reason) in [
        (Expiry { certificate: ends, life: None }, "certificate-expired"),
        (Expiry { certificate: None, life: ends }, "session-over"),
    ] {
        let (liveness, _) = liveness(true, expiry);
        liveness.request_began();
        assert_eq!(checks(&liveness, now, &[0, 3_599]).pop(), Some(Verdict::CarryOn));
        assert_eq!(liveness.check(now + LONG * 2), Verdict::Finish(reason));
    }
}

#[test]
fn retiring_ends_http_2_at_once_and_http_1_with_its_next_reply() {
    let (h2, _) = liveness(true, Expiry::default());
    h2.retire();
    assert_eq!(h2.order(), Order::Finish);
    assert!(h2.drain().begun());
    let (h1, now) = liveness(false, Expiry::default());
    h1.retire();
    assert!(h1.is_retiring() && h1.order() == Order::CarryOn);
    assert_eq!(checks(&h1, now, &[0, 1, 12]).pop(), Some(Verdict::Finish("superseded")));
}

#[test]
fn an_order_to_cut_is_never_softened() {
    let (liveness, _) = liveness(false, Expiry::default());
    liveness.cut();
    liveness.finish();
    assert_eq!(liveness.order(), Order::Cut);
    assert!(!liveness.drain().begun());
}

#[test]
fn time_earns_tokens_for_idle_frames_once() {
    let (liveness, now) = liveness(true, Expiry::default());
    checks(&liveness, now, &[0, 1, 2]);
    assert_eq!(liveness.take_frame_tokens(), 3 * TOKENS_PER_CHECK);
    assert_eq!(liveness.take_frame_tokens(), 0);
}
