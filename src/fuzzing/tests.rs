//! The harnesses as property tests: over their corpora and over mutations of them.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

/// Mutated inputs of each target, and files of its corpus.
const ROUNDS: u64 = if cfg!(miri) { 2 } else { 3000 };
const FILES: usize = if cfg!(miri) { 2 } else { usize::MAX };

/// The longest input that is made.
const LONGEST: usize = 4096;

macro_rules! targets {
    ($($target:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];
        $(
            #[test]
            fn $target() {
                check(stringify!($target), super::$target);
            }
        )*
    };
}

targets! {
    basic body certificate chunked_body conn docker_answer host_addresses htpasswd ini mountinfo
    policies private_key proc request_head response_head target_path
}

fn check(target: &str, harness: fn(&[u8])) {
    let corpus = corpus(target);
    let words = dictionary(target);
    for (name, input) in corpus.iter().take(FILES) {
        run(harness, input, &format!("{target}: {name}"));
    }
    for seed in 1..=ROUNDS {
        let input = Mutator::new(seed).make(&corpus, &words);
        run(harness, &input, &format!("{target}: seed {seed}"));
    }
}

fn run(harness: fn(&[u8]), input: &[u8], name: &str) {
    if let Err(failure) = catch_unwind(AssertUnwindSafe(|| harness(input))) {
        eprintln!("{name}: failed with b\"{}\"", input.escape_ascii());
        resume_unwind(failure);
    }
}

// ---------------------------------------------------------------- what inputs are made of

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The files of a target, in the order of their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = place().join("corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no corpus");
    files
}

/// The words of a target's dictionary, in AFL's format: `"GET \x0d\x0a"`, a line each.
fn dictionary(target: &str) -> Vec<Vec<u8>> {
    let path = place().join("dictionaries").join(format!("{target}.dict"));
    let text = fs::read_to_string(path).unwrap_or_default();
    let words = text.lines().filter(|line| line.starts_with('"'));
    words.map(|line| word(line.trim_matches('"'))).collect()
}

fn word(text: &str) -> Vec<u8> {
    let mut word = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        word.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'x') => {
                    let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                escaped => escaped.unwrap(),
            },
            plain => plain,
        });
    }
    word
}

/// splitmix64, and what it does to an input.
struct Mutator(u64);

impl Mutator {
    fn new(seed: u64) -> Mutator {
        Mutator(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn make(&mut self, corpus: &[(String, Vec<u8>)], words: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].1.clone();
        for _ in 0..=self.below(6) {
            let other = &corpus[self.below(corpus.len())].1;
            self.mutate(&mut input, other, words);
            input.truncate(LONGEST);
        }
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(32) + 1);
        match self.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            2 => input.insert(at, self.next() as u8),
            3 => drop(input.drain(at..end)),
            4 => drop(input.splice(at..at, input[at..end].to_vec())),
            5 if self.below(4) == 0 => input.truncate(at),
            6 => {
                let from = self.below(other.len());
                let part = &other[from..];
                let part = &part[..self.below(part.len() + 1)];
                drop(input.splice(at..end, part.iter().copied()));
            }
            _ if !words.is_empty() => {
                let word = words[self.below(words.len())].clone();
                drop(input.splice(at..at, word));
            }
            _ => {}
        }
    }
}

// ---------------------------------------------------------------- the same targets everywhere

#[test]
fn every_target_is_a_harness_of_cargo_fuzz_as_well() {
    let expected: BTreeSet<String> = TARGETS.iter().map(ToString::to_string).collect();
    let names = |directory: &str, end: &str| -> BTreeSet<String> {
        fs::read_dir(place().join(directory))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_suffix(end).unwrap_or(&name).to_owned())
            .collect()
    };
    assert_eq!(names("fuzz_targets", ".rs"), expected);
    assert_eq!(names("corpus", ""), expected);
    assert!(names("dictionaries", ".dict").is_subset(&expected));
    let manifest = fs::read_to_string(place().join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let source = fs::read_to_string(place().join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(
            source.contains(&format!("fuzzing::{target}(bytes)")),
            "{target}"
        );
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target}"
        );
    }
}
