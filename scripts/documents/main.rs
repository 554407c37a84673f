//! `documents DIRECTORY DATE`: writes the manual page and the shells' completions, after the table
//! of options. Run by `scripts/release`.

use std::path::PathBuf;
use std::{env, fs, process};

mod completions;
mod man;

fn main() {
    let mut arguments = env::args().skip(1);
    let (Some(directory), Some(date), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("usage: documents DIRECTORY DATE");
        process::exit(2);
    };
    let directory = PathBuf::from(directory);
    for (name, text) in [
        ("haven-agent.8", man::page(&date)),
        ("haven-agent.bash", completions::bash()),
        ("_haven-agent", completions::zsh()),
        ("haven-agent.fish", completions::fish()),
    ] {
        let path = directory.join(name);
        if let Err(error) = fs::write(&path, text) {
            eprintln!("{}: {error}", path.display());
            process::exit(1);
        }
    }
}
