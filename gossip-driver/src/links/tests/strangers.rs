//! Strangers take no memory that members need.

use super::*;

#[test]
fn strangers_that_fill_their_part_of_the_memory_keep_no_message_of_a_member_out() {
    let mut settings = config();
    settings.receive_queue_bytes = 200_000;
    let mut bench = Bench::new(&settings);
    let (mut member, _) = bench.incoming(41_000);
    member.put(&framed(&message(1)));
    let News::Message { link, .. } = bench.next() else { panic!("a message was sent") };
    bench.links.judge(link, Verdict::Valid);

    let begun = &framed(&vec![7; 100_000])[..99_000];
    let strangers: Vec<Stream> = (1..12)
        .map(|port| {
            let (mut stranger, _) = bench.incoming(41_000 + port);
            assert_eq!(bench.feed(&mut stranger, begun), None);
            stranger
        })
        .collect();
    assert!(bench.count(Counter::ReceiveQueueOverflows) >= 1, "they want more than there is for them");
    assert_eq!(bench.feed(&mut member, &framed(&vec![8; 100_000])), Some((link, 100_000)));
    assert!(bench.is_open(&member));
    assert!(strangers.iter().filter(|stranger| bench.is_open(stranger)).count() >= 2, "those with room stay");
}

impl Bench {
    /// Sends this bit by bit, and gives the message that arrives, if there is one: its link and length.
    fn feed(&mut self, peer: &mut Stream, bytes: &[u8]) -> Option<(LinkId, usize)> {
        let (mut sent, mut arrived) = (0, None);
        for _ in 0..100 {
            sent += peer.put(&bytes[sent..]);
            self.memory.run_for(Duration::ZERO);
            while let Ok(news) = self.news.try_recv() {
                match news {
                    News::Message { link, frame, .. } => arrived = Some((link, frame.bytes.len())),
                    News::Ended { link, end } => drop(self.links.ended(self.memory.now(), link, &end)),
                    News::PeerClosed { .. } | News::Drained => {}
                }
            }
        }
        arrived
    }
}
