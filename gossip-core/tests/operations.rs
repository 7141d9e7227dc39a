//! Any interleaving of what can happen to a small cluster. The nodes check their own invariants after every call in
//! builds with debug assertions; here it is checked that they stay usable and agree in the end.

mod support;

use std::time::Duration;

use gossip_core::{Channel, Config, ForgetScope, MemberState};
use proptest::prelude::*;
use support::{Net, id, secs};

const HOSTS: usize = 5;

#[derive(Clone, Debug)]
enum Operation {
    Run(u64),
    Join(usize, usize),
    Leave(usize),
    Kill(usize),
    Restart(usize),
    Pause(usize),
    Resume(usize),
    Forget(usize, usize, bool),
    Set(usize, u8, u8),
    Remove(usize, u8),
    Cut(bool),
    Lose(u32),
    Noise(usize, Vec<u8>, bool),
    ClockBack(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let host = 0..HOSTS;
    prop_oneof![
        4 => (1_u64..8_000).prop_map(Operation::Run),
        3 => (host.clone(), host.clone()).prop_map(|(who, through)| Operation::Join(who, through)),
        1 => host.clone().prop_map(Operation::Leave),
        1 => host.clone().prop_map(Operation::Kill),
        2 => host.clone().prop_map(Operation::Restart),
        1 => host.clone().prop_map(Operation::Pause),
        1 => host.clone().prop_map(Operation::Resume),
        1 => (host.clone(), host.clone(), any::<bool>()).prop_map(|(who, whom, all)| Operation::Forget(who, whom, all)),
        2 => (host.clone(), 0_u8..3, any::<u8>()).prop_map(|(who, key, value)| Operation::Set(who, key, value)),
        1 => (host.clone(), 0_u8..3).prop_map(|(who, key)| Operation::Remove(who, key)),
        1 => any::<bool>().prop_map(Operation::Cut),
        1 => (0_u32..40).prop_map(Operation::Lose),
        1 => (host.clone(), proptest::collection::vec(any::<u8>(), 0..200), any::<bool>())
            .prop_map(|(who, bytes, stream)| Operation::Noise(who, bytes, stream)),
        1 => host.prop_map(Operation::ClockBack),
    ]
}

fn perform(net: &mut Net, operation: Operation) {
    let now = net.now;
    let runs = |net: &Net, who: usize| net.hosts[who].node.is_some();
    match operation {
        Operation::Run(millis) => net.run(Duration::from_millis(millis)),
        Operation::Join(who, through) if runs(net, who) => {
            net.node(who).join(now, through).unwrap_or_default();
            net.settle(who);
        }
        Operation::Leave(who) if runs(net, who) => {
            net.node(who).leave(now).unwrap_or_default();
            net.settle(who);
        }
        Operation::Kill(who) => net.kill(who),
        Operation::Restart(who) => {
            net.hosts[who].paused = false;
            net.start_at(who, who as u128 + 1, Config::lan("test"));
            net.join(who, (who + 1) % HOSTS);
        }
        Operation::Pause(who) => net.pause(who),
        Operation::Resume(who) => net.resume(who),
        Operation::Forget(who, whom, all) if runs(net, who) => {
            let scope = if all { ForgetScope::Everywhere } else { ForgetScope::Here };
            net.node(who).forget(now, id(whom as u128 + 1), scope).unwrap_or_default();
            net.settle(who);
        }
        Operation::Set(who, key, value) if runs(net, who) => {
            net.node(who).set_metadata(now, &key.to_string(), i64::from(value)).unwrap_or_default();
            net.settle(who);
        }
        Operation::Remove(who, key) if runs(net, who) => {
            net.node(who).remove_metadata(now, &key.to_string()).unwrap_or_default();
            net.settle(who);
        }
        Operation::Cut(cut) => {
            net.reaches = if cut { |from, to| (from < 2) == (to < 2) } else { |_, _| true };
        }
        Operation::Lose(percent) => net.loss = percent,
        Operation::Noise(who, bytes, stream) => {
            let channel = if stream { Channel::Stream } else { Channel::Datagram };
            net.send(99, who, channel, bytes);
        }
        Operation::ClockBack(who) if runs(net, who) => {
            net.node(who).handle_timeout(gossip_core::Instant::ZERO);
            assert!(net.stats(who).clock_regressions > 0);
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_survivors_agree_once_it_is_over(
        operations in proptest::collection::vec(operation(), 1..60),
        seed in any::<u64>(),
    ) {
        let mut net = Net::new(seed);
        for number in 1..=HOSTS as u128 {
            net.start(number, Config::lan("test"));
        }
        for who in 1..HOSTS {
            net.join(who, 0);
        }
        for operation in operations {
            perform(&mut net, operation);
        }

        // Peace: everybody runs and may be asked to join.
        net.reaches = |_, _| true;
        net.loss = 0;
        (0..HOSTS).for_each(|who| net.resume(who));
        for who in 0..HOSTS {
            let has_left = net.hosts[who].node.as_ref().is_none_or(|node| node.phase() != gossip_core::Phase::Active);
            if has_left {
                net.start_at(who, who as u128 + 1, Config::lan("test"));
            }
            let now = net.now;
            net.node(who).set_seeds(now, (0..HOSTS).collect());
            net.settle(who);
        }
        let agree = |net: &Net| {
            let prints: Vec<_> = net.hosts.iter().filter_map(|host| host.node.as_ref()).map(gossip_core::Node::fingerprint).collect();
            net.sees_alive(0..HOSTS) && prints.iter().all(|print| *print == prints[0])
        };
        prop_assert!(net.run_until(secs(120), agree).is_some(), "{}", describe(&net));
    }
}

fn describe(net: &Net) -> String {
    let lines = net.hosts.iter().enumerate().map(|(who, host)| {
        let rows = host.node.iter().flat_map(gossip_core::Node::members);
        let rows: Vec<_> = rows.map(|row| (row.id, row.state, row.incarnation, row.metadata.version())).collect();
        let is_contested = host.node.as_ref().is_some_and(|node| node.phase() == gossip_core::Phase::Contested);
        format!("{who} contested={is_contested}: {rows:?} {:?}\n", MemberState::Alive)
    });
    lines.collect()
}
