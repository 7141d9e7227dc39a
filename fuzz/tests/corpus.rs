//! Every input that was worth keeping does what its target asserts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gossip_fuzz::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = read.map(|entry| entry.expect("an entry of the corpus").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| corpus().join(name)).collect();
    assert_eq!(entries(&corpus()).into_iter().collect::<BTreeSet<_>>(), targets);
}

#[test]
fn every_target_is_a_program_of_the_fuzzer() {
    let manifest = include_str!("../Cargo.toml");
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} has no [[bin]]");
    }
}

#[test]
fn the_corpus_holds() {
    for (name, target) in TARGETS {
        let inputs = entries(&corpus().join(name));
        assert!(!inputs.is_empty(), "{name} has inputs");
        for input in inputs {
            // What fails is shown below this line.
            println!("{}", input.display());
            target(&fs::read(&input).expect("an input can be read"));
        }
    }
}
