//! What the document shows works: every scenario in it runs, and every command of the first steps does what it says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gossip_sim::{Scenario, World};

const DOCUMENT: &str = include_str!("../../docs/SIMULATOR.md");

/// The blocks of code in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("```{language}\n");
    let blocks = DOCUMENT.split(start.as_str()).skip(1);
    blocks.map(|rest| rest.split("\n```").next().expect("a block ends")).collect()
}

#[test]
fn every_scenario_is_one() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 3);
    for block in blocks {
        let scenario = Scenario::parse(block, "SIMULATOR.md").unwrap_or_else(|error| panic!("{error}"));
        World::new(&scenario, 1).expect("it can begin");
    }
}

/// A directory of this test alone, removed when it is done.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("gossip-sim-documents-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the directory can be made");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn run(directory: &Path, line: &str) -> Output {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("gossip-sim"), "{line}");
    let (words, file) = match line.split_once('>') {
        Some((command, file)) => (command.split_whitespace().skip(1).collect::<Vec<_>>(), Some(file.trim())),
        None => (words.collect(), None),
    };
    // As many seeds as there are would take minutes.
    let words = words.into_iter().map(|word| if word.starts_with("1..") { "1..3" } else { word });
    let output = Command::new(env!("CARGO_BIN_EXE_gossip-sim")).args(words).current_dir(directory).output();
    let output = output.expect("the command starts");
    if let Some(file) = file {
        std::fs::write(directory.join(file), &output.stdout).expect("the file can be written");
    }
    output
}

#[test]
fn every_command_of_the_first_steps_does_what_it_says() {
    let directory = Directory::new();
    let broken = blocks("toml")[0];
    std::fs::write(directory.0.join("my.toml"), broken).expect("the file can be written");
    let steps = blocks("console")[0].lines().filter_map(|line| line.strip_prefix("$ "));
    let mut count = 0;
    for step in steps {
        let line = step.split('#').next().expect("there is something before a comment").trim();
        if line.contains(" compare ") {
            std::fs::copy(directory.0.join("new.json"), directory.0.join("old.json")).expect("there are reports");
        }
        let output = run(&directory.0, line);
        // What is broken fails, is made small, and fails again.
        let is_broken = line.contains("my.toml") || line.contains(" replay ");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(is_broken)), "{line}: {text}");
        count += 1;
    }
    assert!(count >= 9);
    for made in ["page.html", "mine.toml", "small.toml", "what.txt", "new.json"] {
        assert!(directory.0.join(made).exists(), "{made}");
    }
    let told = std::fs::read_to_string(directory.0.join("what.txt")).expect("it was written");
    for what in [" sends ", " reads ", " reports ", "has a deadline", "oracle: [", "begins"] {
        assert!(told.contains(what), "{what}");
    }
}
