//! A key counts once, whatever happens to the process in between.

use crate::World;
use xinqiao_client::Submission;
use xinqiao_tests::crash::RESTLESS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_gives_the_same_answer_after_restarts_and_none_to_another_body() {
    let mut world = World::new(RESTLESS);
    let node = world.site.start();
    world.send(&node, 4, 50).await;
    node.kill();
    for stopped in [false, true] {
        let node = world.site.start();
        for (n, (request, first)) in world.sent.iter().enumerate() {
            let client = world.site.client(request.member(), &node);
            let again = client.send(&request.submission()).await.expect("it was taken before");
            assert_eq!(again.raw, first.raw, "the answer is the first, byte for byte");
            // The same key with another body, another schema's records at that.
            let other = &world.sent[(n + 1) % world.sent.len()].0;
            let reused = Submission { idempotency_key: Some(request.key()), ..other.submission() };
            let error = client.send(&reused).await.expect_err("the key was used");
            assert_eq!(error.code(), "idempotency.reused");
        }
        match stopped {
            true => assert!(node.stop()),
            false => node.kill(),
        }
    }
}
