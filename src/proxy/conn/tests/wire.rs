//! The corpus of `tests/wire`, by the machine alone: whole, byte by byte, cut at each place, and with more behind.

use super::case::*;

#[path = "../../../../tests/wire/format.rs"]
mod format;
use format::{Conversation, Ending, Names, Step};

/// The judge of these tests reads such credentials.
const NAMES: Names<'_> = Names {
    admin: "good",
    reader: "reader",
};

/// Bytes that each side may say in a conversation that is cut at each place.
const SHORT: usize = 600;

#[test]
fn every_case_of_the_corpus() {
    for told in format::all(&NAMES) {
        // Shown with a failure.
        println!("--- {}", told.name);
        let longest = told.steps.iter().map(|step| match step {
            Step::Client(bytes) | Step::Docker(bytes) => bytes.len(),
            _ => 0,
        });
        let longest = longest.max().unwrap_or(0);
        let case = retold(&told);
        if longest <= 4 * SHORT {
            case.check();
        } else {
            case.check_long();
        }
        if longest <= SHORT {
            retold(&told).check_cuts(longest);
        }
    }
}

fn retold(told: &Conversation) -> Case {
    let mut case = case();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let mut is_new = true;
    for step in &told.steps {
        case = match step {
            Step::Client(bytes) => case.client(bytes),
            Step::Docker(bytes) => case.docker(bytes),
            Step::ClientGets(bytes) => case.answers(bytes),
            Step::DockerCloses => case.docker_ends(),
            Step::ClientCloses => case.client_notifies(),
            Step::NewConnection => {
                is_new = true;
                case
            }
            Step::DockerGets(bytes) => {
                match seen.last_mut() {
                    Some(last) if !is_new => last.extend(bytes),
                    _ => seen.push(bytes.clone()),
                }
                is_new = false;
                case
            }
        };
    }
    for bytes in seen {
        case = case.sees(bytes);
    }
    if told.partly {
        case = case.partly();
    }
    if !told.alone {
        case = case.trailing();
    }
    case.ends(match told.ending {
        Ending::Kept => End::Kept,
        Ending::Finished => End::Finished,
        Ending::Cut => End::Cut,
    })
}
