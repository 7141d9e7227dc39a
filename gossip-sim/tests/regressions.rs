//! Scenarios made for defects that were found. Each fails with its defect put back, in the seeds that are run here among
//! others; what was seen then is told beside it.

use gossip_sim::{Scenario, Simulation};

/// A run of a file in `found/`.
fn found(text: &str, seed: u64) -> gossip_sim::Report {
    let scenario = Scenario::parse(text, "found").expect("the file is right");
    Simulation::new(scenario).seed(seed).run().expect("the scenario is right")
}

#[test]
fn broadcasts_that_wait_for_others_are_not_overtaken() {
    let report = found(include_str!("found/overtaken.toml"), 2);
    assert!(report.passed(), "{report}");
}

#[test]
fn a_message_that_comes_to_somebody_else_is_not_delivered() {
    let report = found(include_str!("found/misdelivered.toml"), 1);
    assert!(report.passed(), "{report}");
}

#[test]
fn a_tagged_broadcast_is_not_taken_for_history() {
    let report = found(include_str!("found/history.toml"), 4);
    assert!(report.passed(), "{report}");
}

#[test]
fn a_tagged_broadcast_reaches_whom_its_sender_cannot_reach() {
    let report = found(include_str!("found/unreached.toml"), 1);
    assert!(report.passed(), "{report}");
}

/// Runs a file in `found/` with several seeds, so that a change of the protocol does not make it miss its aim.
fn holds(text: &str, seeds: &[u64]) {
    for &seed in seeds {
        let report = found(text, seed);
        assert!(report.passed(), "{report}");
    }
}

/// A member behind a cut was left to those who probed it within a second: "did not reach 1 of 17 nodes within 6.6 s".
#[test]
fn a_broadcast_reaches_whom_the_last_before_it_cannot_reach() {
    holds(include_str!("found/cut-off.toml"), &[2, 4, 7, 8]);
}

/// The deadline lay in the past, which the node took for a stall of its own: "a deadline is served 4.8 s late".
#[test]
fn an_accuser_that_comes_late_moves_no_deadline_into_the_past() {
    holds(include_str!("found/accused.toml"), &[1, 2, 4, 5, 7, 11, 13]);
}

/// Nobody can fetch the metadata of the dead: "the same rows but not the same fingerprint", for ever.
#[test]
fn tables_whose_dead_members_had_different_metadata_are_the_same() {
    holds(include_str!("found/dead-metadata.toml"), &[19, 22, 30, 36, 38]);
}

/// The others kept the metadata of its earlier life: "no agreement".
#[test]
fn a_member_that_comes_back_without_metadata_has_none() {
    holds(include_str!("found/restarted.toml"), &[1, 2, 3]);
}

/// A timer that leaving stopped was overdue when the next probe began: "a deadline is served 0.9 s late".
#[test]
fn a_node_that_leaves_ends_the_probe_that_is_under_way() {
    holds(include_str!("found/left.toml"), &[1, 3, 5, 8, 12]);
}

/// A fault of the simulator's: "a deadline is served 1 µs late", by a clock that rounds to another microsecond.
#[test]
fn a_clock_that_runs_fast_or_slow_makes_no_deadline_late() {
    holds(include_str!("found/fast.toml"), &[1, 2, 3]);
}

/// A fault of the simulator's: who was alone was blamed for ever, "no agreement: node 1 as dead, which left properly".
#[test]
fn a_node_that_is_alone_may_take_a_leaver_for_dead() {
    holds(include_str!("found/last-leaver.toml"), &[508]);
}

/// It was taken for the answer to another operation, which had the same number: "holds a lock as … while node 0 holds it".
#[test]
fn an_answer_about_a_lock_that_comes_to_somebody_else_is_not_believed() {
    holds(include_str!("found/misaddressed.toml"), &[4, 6, 7]);
}

/// The leader forgot what it had answered, and granted the lock anew: "loses lock 2, … before its time is over".
#[test]
fn a_node_that_was_believed_dead_is_answered_as_before() {
    holds(include_str!("found/stood-still.toml"), &[3, 16, 21, 36]);
}
