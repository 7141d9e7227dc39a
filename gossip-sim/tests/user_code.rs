//! The user's own code: the example finds what is wrong with the naive counter, and nothing wrong with the better one.

#[path = "../examples/counter.rs"]
mod counter;

#[test]
fn the_simulator_finds_the_bug_of_the_naive_counter_and_none_in_the_better_one() {
    counter::main().expect("the example shows what it says");
}
