//! `uninstall`: what `install` has made, and nothing else. What is not there is no error, so that it
//! works on half of an installation.

use super::init::{self, STARTERS};
use super::tree::Tree;
use super::{CONFIG, Error, PROGRAM, account, enable, step};
use crate::config::{Draft, Init, Uninstall};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Removes the service, its configuration, its user and the program.
///
/// # Errors
/// What could not be removed. What comes before that is gone; a second run removes the rest.
pub fn uninstall(wanted: &Uninstall) -> Result<(), Error> {
    let tree = Tree::new(wanted.root.clone());
    let _alone = tree.lock()?;
    for starter in &STARTERS {
        enable::disable(&tree, starter);
    }
    if tree.is_own() {
        close_files(&tree)?;
    }
    if wanted.keep_config {
        keep_config(&tree, "")?;
    } else if tree.is_foreign(CONFIG) {
        keep_config(&tree, ", which install did not write")?;
    } else {
        tree.remove(CONFIG)?;
    }
    for installed in init::installed(&tree)? {
        if installed.joined {
            account::leave_docker(&tree, &installed.user);
        }
    }
    account::remove_made(&tree)?;
    // Another program of that name has no service of ours.
    let has_service = STARTERS.iter().any(|starter| starter.has_service(&tree));
    if has_service || tree.is_program(PROGRAM) {
        tree.remove(PROGRAM)?;
    } else if tree.has(PROGRAM) {
        step(format_args!("left: {PROGRAM}, which install did not write"));
    }
    // procd's file is OpenRC's as well.
    for starter in STARTERS
        .iter()
        .filter(|starter| starter.init != Init::Procd)
    {
        starter.remove(&tree)?;
    }
    enable::forget(&tree)
}

/// Leaves the files that the configuration names to root alone, where they are the user's or its group's that goes: the
/// next one to be made would get its number.
fn close_files(tree: &Tree) -> Result<(), Error> {
    let mut draft = Draft::default();
    // What of it is wrong names no file.
    let _ = draft.add_ini(CONFIG, &tree.read(CONFIG)?.unwrap_or_default(), true);
    for (key, path) in draft.files() {
        if let Ok(meta) = fs::metadata(Path::new("/").join(path))
            && account::is_made_s(tree, &meta)?
        {
            // What everyone may read, as a certificate, other programs may need.
            tree.restrict(path, meta.mode() & 0o707, 0)?;
            step(format_args!("left: {path}, named by {key}"));
        }
    }
    Ok(())
}

/// Leaves the configuration to root alone: the next group to be made would get the number of the one that could read it.
fn keep_config(tree: &Tree, why: &str) -> Result<(), Error> {
    if tree.read(CONFIG)?.is_some() {
        tree.restrict(CONFIG, 0o640, 0)?;
        step(format_args!(
            "left: {CONFIG}{why}, 0640{}",
            account::owner("root")
        ));
    }
    Ok(())
}
