//! A cluster that is cut in two for a minute grows together by itself.

use std::thread;
use std::time::{Duration, Instant};

use crate::laboratory::{Laboratory, all_alive};
use crate::process::SOON;

/// How long the cut lasts, and how long growing together may take.
const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn a_cluster_cut_in_two_for_a_minute_grows_together_by_itself() {
    let (left, right) = ([0, 1, 2, 3], [4, 5, 6, 7]);
    let network = Laboratory::lay("cut", 8).expect("it could be laid before");
    let agents = network.agents(8);

    let cut = Instant::now();
    network.cut(&left, &right);
    network.cut(&right, &left);
    for (side, other) in [(left, right), (right, left)] {
        for agent in side.map(|host| &agents[host]) {
            for friend in side {
                agent.sees(&agents[friend].id, "alive", SOON);
            }
            for lost in other {
                agent.sees(&agents[lost].id, "dead", MINUTE.saturating_sub(cut.elapsed()));
            }
        }
    }
    thread::sleep(MINUTE.saturating_sub(cut.elapsed()));

    let healed = Instant::now();
    network.mend(&left, &right);
    network.mend(&right, &left);
    all_alive(&agents, MINUTE);
    println!("all alive {:?} after the cut was mended", healed.elapsed());
}
